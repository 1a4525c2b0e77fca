"""Base class of outlier scores, and helper functions that several scores share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._rounding import rounding
from sk_autoencoder.objectives import Evaluation

State = dict[str, Tensor]

# Lower limit of residual spreads, in scaled units, so that rounding errors are not divided by tiny spreads.
SMALLEST_SPREAD = 1e-2


SCORED_AT_ONCE = 1 << 8  # held-out samples of each member, to save memory


class OutlierScore(Part):
    """Abstract base class: one score for each sample, from its evaluation and the state learnt by ``fit``."""

    required_terms: ClassVar[tuple[str, ...]] = ()  # terms of the objective that the score needs
    uses_terms: ClassVar[bool] = True  # whether the score reads any terms; if not, evaluations have none
    uses_network: ClassVar[bool] = True  # whether the score depends on codes, reconstructions or terms
    uses_references: ClassVar[bool] = True  # whether ``fit`` reads ``references``; if not, they are empty
    explains_features: ClassVar[bool] = False  # whether the score has ``feature_scores``
    is_log_scale: ClassVar[bool] = False  # whether the score is a logarithm, such as a log-likelihood
    is_local: ClassVar[bool] = True  # True: compared with nearby samples; False: with the whole distribution
    keeps_extremes: ClassVar[bool] = False  # whether extreme values decide the score of ``Combined``, despite damping

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Set the flags to True if a subclass overrides the method that they describe."""
        super().__init_subclass__(**kwargs)
        for method, flag in (("__call__", "uses_terms"), ("__call__", "uses_network"), ("fit", "uses_references")):
            if method in vars(cls) and flag not in vars(cls):
                setattr(cls, flag, True)

    def check_features(self, n_features: int) -> None:
        """Raise an error, before any training, if the parameters do not fit the number of features."""

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn the state.

        ``references`` (n_members, n, ...) are samples that each member was trained on, ``held_out`` are samples that it
        was not trained on. Without ``others``, each member learns from its own held-out samples. With ``others``,
        (n_members, n_others) indices, member i learns from the held-out samples of members ``others[i]``, which are not
        those of member i, so that it scores its own held-out samples in the same way as new samples. Its references
        alternate between the samples that ``others[i]`` hold out.
        """
        del references, held_out, others
        return {}

    def fit_votes(
        self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None
    ) -> tuple[State, Tensor]:
        """Learn the state, and return it with the votes of each member on its own held-out samples."""
        state = self.fit(references, held_out, others)
        return state, torch.cat([self.votes(piece, state) for piece in held_out.split(SCORED_AT_ONCE)], dim=1)

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Return the state with scales of errors that are learnt from other samples, without references.

        ``held_out`` are samples that no member was trained on, (n_members, n, ...). Scores without such scales return
        the state as it is.
        """
        del held_out
        return state

    def settled(self) -> OutlierScore:
        """Return the score that a fitted estimator stores; subclasses may resolve their parameters here."""
        return self

    def components(self, evaluation: Evaluation, state: State, name: str) -> dict[str, Tensor]:
        """Return the component scores by name, each (n_members, n), before they are brought to a common scale."""
        return {name: self(evaluation, state)}

    @abstractmethod
    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the scores of the samples, (n_members, n), with the state returned by ``fit``."""

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the contribution of each feature to the score, (n_members, n, n_features)."""
        raise NotImplementedError(f"{type(self).__name__} does not explain features")

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the values that are averaged over the members and passed to ``combine``, (n_members, n, n_votes).

        NaN entries are left out of the average.
        """
        return self(evaluation, state)[..., None]

    def combine(self, votes: Tensor) -> Tensor:
        """Compute scores from votes averaged over the members, (..., n_votes) -> (...)."""
        return votes[..., 0]

    def evidence(self, votes: Tensor) -> Tensor:
        """Return how far samples are isolated and have unusual residuals, or unusual values of single features.

        From votes averaged over the members, (..., n_votes) -> (..., 2), numbers between 0 and 1: 0 by default.
        """
        return votes.new_zeros(*votes.shape[:-1], 2)

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the contribution of each feature to each vote, (n_members, n, n_votes, n_features)."""
        return self.feature_scores(evaluation, state)[..., None, :]

    def combine_features(self, votes: Tensor, features: Tensor) -> Tensor:
        """Compute feature scores from averages over the members, (..., n_votes) and (..., n_votes, n_features)."""
        del votes
        return features[..., 0, :]


def of_others(values: Tensor, others: Tensor | None) -> Tensor:
    """Concatenate for each member the samples of those members that its state is learnt from.

    Parameters
    ----------
    values : Tensor of shape (n_members, n_samples, ...)
        Values of each member's samples.
    others : Tensor of shape (n_members, n_others) or None
        The members that each member learns from. None is the member itself.

    Returns
    -------
    values : Tensor of shape (n_members, n_others * n_samples, ...)
        Values of the samples that each member learns from.
    """
    return values if others is None else values[others].flatten(1, 2)


def by_source(rows: Tensor, others: Tensor | None) -> State:
    """Split references (n_members, n, width) by their sources, since different members share sources.

    The references of a member alternate between its sources, the samples that the members ``others`` hold out. The
    state has the "references" of each source, (n_sources, n_of_source, width), and the indices of each member's
    "sources", (n_members, n_member_sources). The last references, if they are not one of each source, are left out.
    """
    sources = torch.arange(len(rows), device=rows.device)[:, None] if others is None else others
    n_sources, n_member_sources = int(sources.max()) + 1, sources.shape[1]
    stored = rows.new_empty(n_sources, rows.shape[1] // n_member_sources, rows.shape[2])
    for member_rows, member_sources in zip(rows, sources, strict=True):
        complete = member_rows[: stored.shape[1] * n_member_sources]
        stored[member_sources] = complete.unflatten(0, (-1, n_member_sources)).swapaxes(0, 1)
    return {"references": stored, "sources": sources}


def of_members(state: State) -> Tensor:
    """Join the references of each member's sources, (n_members, n, width), in their original order."""
    return state["references"][state["sources"]].swapaxes(1, 2).flatten(1, 2)


def all_alike(rows: Tensor) -> bool:
    """Whether all of several members have the same samples, (n_members, n, width)."""
    return len(rows) > 1 and torch.equal(rows, rows[:1].expand_as(rows))


def residual_of(evaluation: Evaluation) -> Tensor:
    """Return target minus reconstruction in float64, (..., n_members, n, n_features)."""
    return (evaluation.target - evaluation.reconstruction).double()


def residual_spread(held_out: Evaluation, others: Tensor | None) -> Tensor:
    """Root mean square of each feature's residual on the held-out samples of ``others``, (n_members, n_features)."""
    squares = residual_of(held_out).square().mean(dim=1, keepdim=True)
    return of_others(squares, others).mean(dim=1).sqrt().clamp(min=SMALLEST_SPREAD)


_MANY_COLUMNS = 64  # from this width on, summing differences in one buffer is faster than torch.cdist on CPUs
_CELLS_AT_ONCE = 1 << 19


def city_block(rows: Tensor, references: Tensor) -> Tensor:
    """L1 distances, (..., n, width) and (..., n_references, width) -> (..., n, n_references)."""
    if rows.shape[-1] < _MANY_COLUMNS or rows.device.type != "cpu":
        return torch.cdist(rows, references, p=1.0)
    if rows.ndim > 2:
        return torch.stack([city_block(*member) for member in zip(rows, references, strict=True)])
    n_at_once = 2 * max(1, _CELLS_AT_ONCE // (2 * references.numel()))
    differences = rows.new_empty(min(n_at_once, len(rows)), *references.shape)
    sums = [
        torch.sub(part[:, None], references, out=differences[: len(part)]).abs_().sum(dim=-1)
        for part in rows.split(n_at_once)
    ]
    return torch.cat(sums)


def signed_log(rows: Tensor) -> Tensor:
    """``sign(x) * log(1 + abs(x))`` of each entry."""
    rows = rows.double()
    return rows.sign() * rows.abs().log1p()


def ordered_columns(rows: Tensor) -> Tensor:
    """Sort each column, (n_members, n, n_features) -> (n_members, n_features, n)."""
    return rows.mT.contiguous().sort(dim=-1).values


def counts_below(rows: Tensor, ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Count the ordered values less than each entry, and those less than or equal to it, (n_members, n_features, n).

    Values that differ by no more than rounding count as equal.
    """
    values = rows.mT.contiguous()
    margin = rounding(values)
    beyond = (values + margin).nextafter(values.new_tensor(torch.inf))
    below, up_to = torch.searchsorted(ordered, torch.cat([values - margin, beyond], dim=-1)).chunk(2, dim=-1)
    return below, up_to


# The number of references and of their entries are limited, to bound the time per sample and the size of the state.
N_REFERENCES = 1 << 10
_FEWEST_REFERENCES, _FULL_WIDTH = 1 << 8, 1 << 7


def some(references: Evaluation, n_references: int = N_REFERENCES) -> Evaluation:
    """Return the first ``n_references`` references; fewer, but at least 256, for samples or codes wider than 128."""
    width = max(references.target.shape[-1], references.code.shape[-1], _FULL_WIDTH)
    fewer = max(_FEWEST_REFERENCES, n_references * _FULL_WIDTH // width)
    return references[:, : min(n_references, fewer)]
