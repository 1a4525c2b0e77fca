"""What every score is, and what several of them share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._rounding import rounding
from sk_autoencoder.objectives import Evaluation

State = dict[str, Tensor]

# Spreads below this share of a column's own spread are rounding, not knowledge.
SMALLEST_SPREAD = 1e-2


class OutlierScore(Part):
    """Abstract: a number for each row from an evaluation and what was learnt beforehand."""

    required_terms: ClassVar[tuple[str, ...]] = ()  # terms of an objective without which it means nothing
    uses_terms: ClassVar[bool] = True  # whether it reads any; if not, an evaluation has none
    uses_references: ClassVar[bool] = True  # whether it looks at references; if not, there are none
    explains_features: ClassVar[bool] = False  # whether it has feature scores
    is_log_scale: ClassVar[bool] = False  # whether it is one already, as a log-likelihood is, and may be negative
    n_votes: ClassVar[int] = 1  # numbers that a member returns for each row, see ``votes``
    is_local: ClassVar[bool] = True  # whether a row is judged by what is near it, or by how far out it lies among all

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A child that scores or learns in its own way inherits no promise of what it leaves alone."""
        super().__init_subclass__(**kwargs)
        for method, promise in (("__call__", "uses_terms"), ("fit", "uses_references")):
            if method in vars(cls) and promise not in vars(cls):
                setattr(cls, promise, True)

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn the state.

        ``references`` (n_members, n, ...) are samples that a member was trained on, ``held_out`` those that it was not.
        ``others`` (n_members, n_others) names for each member those from whose held-out samples its state is learnt:
        the members that hold out other samples, so that a member judges its own held-out samples as it judges new
        ones. The references come from the samples that these hold out, in turn, the same for all members. None means
        the member itself.
        """
        del references, held_out, others
        return {}

    def settled(self) -> OutlierScore:
        """Return what a fitted estimator keeps: a score that is ready for many calls."""
        return self

    def components(self, evaluation: Evaluation, state: State, name: str) -> dict[str, Tensor]:
        """Return what the score consists of, each (n_members, n), before any common scale: itself by its name."""
        return {name: self(evaluation, state)}

    @abstractmethod
    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Score rows, (n_members, n), with a state that ``fit`` learnt."""

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature contributes, (n_members, n, n_features)."""
        raise NotImplementedError(f"{type(self).__name__} does not explain features")

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what is averaged over the members before ``combine`` makes a score of it, (n_members, n, n_votes).

        A member abstains where it returns NaN.
        """
        return self(evaluation, state)[..., None]

    def combine(self, votes: Tensor) -> Tensor:
        """Make scores of means over members, (..., n_votes) -> (...)."""
        return votes[..., 0]

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature contributes to each vote, (n_members, n, n_votes, n_features)."""
        return self.feature_scores(evaluation, state)[..., None, :]

    def combine_features(self, votes: Tensor, features: Tensor) -> Tensor:
        """Make feature scores of means over members, (..., n_votes) and (..., n_votes, n_features)."""
        del votes
        return features[..., 0, :]


def of_others(values: Tensor, others: Tensor | None) -> Tensor:
    """Join the rows of those that each member learns from, (n_members, n, ...) -> (n_members, n_others * n, ...)."""
    return values if others is None else values[others].flatten(1, 2)


def residual_of(evaluation: Evaluation) -> Tensor:
    """Return what the network did not rebuild, (..., n_members, n, n_features)."""
    return (evaluation.target - evaluation.reconstruction).double()


def residual_spread(held_out: Evaluation, others: Tensor | None) -> Tensor:
    """Root mean square of each feature's residual on the held-out rows of other members, (n_members, n_features)."""
    squares = residual_of(held_out).square().mean(dim=1, keepdim=True)
    return of_others(squares, others).mean(dim=1).sqrt().clamp(min=SMALLEST_SPREAD)


_MANY_COLUMNS = 64  # from which on adding up differences is faster than torch.cdist, in one place on CPUs
_CELLS_AT_ONCE = 1 << 19


def city_block(rows: Tensor, references: Tensor) -> Tensor:
    """Sums of absolute differences, (..., n, width) and (..., n_references, width) -> (..., n, n_references)."""
    if rows.shape[-1] < _MANY_COLUMNS or rows.device.type != "cpu":
        return torch.cdist(rows, references, p=1.0)
    if rows.ndim > 2:
        return torch.stack([city_block(*own) for own in zip(rows, references, strict=True)])
    n_at_once = 2 * max(1, _CELLS_AT_ONCE // (2 * references.numel()))
    differences = rows.new_empty(min(n_at_once, len(rows)), *references.shape)
    sums = [
        torch.sub(own[:, None], references, out=differences[: len(own)]).abs_().sum(dim=-1)
        for own in rows.split(n_at_once)
    ]
    return torch.cat(sums)


def signed_log(rows: Tensor) -> Tensor:
    """``sign(x) * log(1 + abs(x))`` of each cell."""
    rows = rows.double()
    return rows.sign() * rows.abs().log1p()


def ordered_columns(rows: Tensor) -> Tensor:
    """Sort each column, (n_members, n, n_features) -> (n_members, n_features, n)."""
    return rows.mT.contiguous().sort(dim=-1).values


def counts_below(rows: Tensor, ordered: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the ordered values lie below each cell, and how many below or at it: (n_members, n_features, n).

    Values that are equal but for rounding lie at the cell.
    """
    values = rows.mT.contiguous()
    margin = rounding(values)
    return torch.searchsorted(ordered, values - margin), torch.searchsorted(ordered, values + margin, right=True)


# References are limited in number and in cells, so that a row's cost and the state's size are.
N_REFERENCES = 1 << 10
_FEWEST_REFERENCES, _FULL_WIDTH = 1 << 8, 1 << 7


def some(references: Evaluation, n_references: int = N_REFERENCES) -> Evaluation:
    """Return the first references, as many as are compared with: fewer than wanted if rows are wider than 128."""
    width = max(references.target.shape[-1], references.code.shape[-1], _FULL_WIDTH)
    fewer = max(_FEWEST_REFERENCES, n_references * _FULL_WIDTH // width)
    return references[:, : min(n_references, fewer)]
