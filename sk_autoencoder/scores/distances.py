"""How far a row, its code or its residual is from those of training rows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import (
    N_REFERENCES,
    OutlierScore,
    State,
    city_block,
    counts_below,
    ordered_columns,
    residual_spread,
    signed_log,
    some,
)


class _Nearest(OutlierScore):
    """Abstract: mean distance to the nearest references, in a space that a child chooses.

    Distances add up the absolute differences of all entries, in the network's number type, which bears single wild
    entries better than squares do. References are rows that the member was trained on, drawn at random.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [integers(1)],
        "n_references": [integers(1)],
    }

    def __init__(self, n_neighbors: int = 2, n_references: int = N_REFERENCES):
        self.n_neighbors = n_neighbors
        self.n_references = n_references

    def _mean(self, vectors: Tensor, references: Tensor) -> Tensor:
        """(n_members, n, width) and (n_members, n_references, width) -> (n_members, n)."""
        pairs = zip(vectors, references, strict=True)
        return torch.stack([self._mean_of(city_block(*own)) for own in pairs])

    def _mean_of(self, distances: Tensor) -> Tensor:
        return self._smallest(distances).mean(dim=-1, dtype=torch.float64)

    def _smallest(self, distances: Tensor) -> Tensor:
        """Return the nearest references' distances, (..., n_references) -> (..., n_neighbors), in order."""
        if self.n_neighbors == 1:
            return distances.amin(dim=-1, keepdim=True)
        return distances.topk(min(self.n_neighbors, distances.shape[-1]), dim=-1, largest=False).values

    def _addends(self, vectors: Tensor, references: Tensor) -> Tensor:
        """Entries' shares of the mean distance, (n_members, n, width)."""
        found = []
        for own, others in zip(vectors, references, strict=True):
            n_neighbors = min(self.n_neighbors, len(others))
            nearest = city_block(own, others).topk(n_neighbors, dim=-1, largest=False).indices
            found.append((own[:, None] - others[nearest]).abs().mean(dim=1, dtype=torch.float64))
        return torch.stack(found)


class _Distance(_Nearest):
    """Abstract: in units of each entry's spread."""

    uses_terms = False

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Keep references in units of each entry's spread."""
        spread = self._spread(references, held_out, others)
        vectors = self._vectors(some(references, self.n_references))
        spread = spread.to(vectors.dtype)
        return {"references": vectors / spread[:, None, :], "spread": spread}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        return self._mean(self._vectors(evaluation) / state["spread"][:, None, :], state["references"])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean distance."""
        if not self.explains_features:
            return super().feature_scores(evaluation, state)
        return self._addends(self._vectors(evaluation) / state["spread"][:, None, :], state["references"])

    @abstractmethod
    def _vectors(self, evaluation: Evaluation) -> Tensor:
        """Return what is compared, (n_members, n, width)."""

    @abstractmethod
    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        """Return the unit of each entry, (n_members, width), without zeros."""


class SampleDistance(_Nearest):
    """Mean distance of a row to the nearest training rows, in scaled units; no network is involved.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest references are averaged; all of them if there are fewer. One finds rows beside the normal ones,
        more also find small clusters of outliers.
    n_references : int, default=1024
        How many training rows a row is compared with; a detector offers at most 4096. Rows or codes wider than 128 are
        compared with fewer, in inverse proportion, but with at least 256.

    References
    ----------
    S. Ramaswamy et al., "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000.
    M. Sugiyama and K. Borgwardt, "Rapid Distance-Based Outlier Detection via Sampling", NeurIPS 2013.
    """

    uses_terms = False
    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Keep the references of each source once, (n_sources, n, n_features), and the sources of each member."""
        del held_out
        rows = some(references, self.n_references).target
        sources = torch.arange(len(rows), device=rows.device)[:, None] if others is None else others
        n_sources, n_own = int(sources.max()) + 1, sources.shape[1]
        kept = rows.new_empty(n_sources, rows.shape[1] // n_own, rows.shape[2])
        for own, numbers in zip(rows, sources, strict=True):
            kept[numbers] = own[: kept.shape[1] * n_own].unflatten(0, (-1, n_own)).swapaxes(0, 1)
        return {"references": kept, "sources": sources}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        rows, sources = evaluation.target, state["sources"]
        if len(rows) == 1 or not torch.equal(rows, rows[:1].expand_as(rows)):
            return self._mean(rows, self._of_members(state))
        # All members judge the same rows: each reference is compared once.
        distances = city_block(rows[0], state["references"].flatten(0, 1))
        nearest = self._smallest(distances.unflatten(-1, state["references"].shape[:2]))
        return torch.stack([self._mean_of(nearest[:, own].flatten(1)) for own in sources])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean distance."""
        return self._addends(evaluation.target, self._of_members(state))

    def _of_members(self, state: State) -> Tensor:
        return state["references"][state["sources"]].flatten(1, 2)


class RankDistance(_Nearest):
    """Mean distance of a row to the nearest training rows, by ranks and logarithms; no network is involved.

    Each value is seen twice: as the standard normal quantile of its rank among the references' values (ties have their
    mean rank), and as ``sign(x) * log(1 + abs(x))``. Long tails and gaps lose their length, and dense parts of a column
    are seen in detail.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest references are averaged; all of them if there are fewer.
    n_references : int, default=1024
        How many training rows a row is compared with; a detector offers at most 4096. Rows or codes wider than 128 are
        compared with fewer, in inverse proportion, but with at least 256.

    References
    ----------
    W. J. Conover and R. L. Iman, "Rank Transformations as a Bridge Between Parametric and Nonparametric Statistics",
    The American Statistician 35, 1981.
    """

    uses_terms = False
    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Keep references as they are seen, and each column's values in order."""
        del held_out, others
        rows = some(references, self.n_references).target
        ordered = ordered_columns(rows)
        return {"references": _ranks_and_logs(rows, ordered), "sorted": ordered}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        return self._mean(_ranks_and_logs(evaluation.target, state["sorted"]), state["references"])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean distance, by rank and by logarithm together."""
        addends = self._addends(_ranks_and_logs(evaluation.target, state["sorted"]), state["references"])
        return addends.unflatten(-1, (2, -1)).sum(dim=-2)


class CodeDistance(_Distance):
    """Mean distance of a row's code to the nearest codes of training rows, each entry divided by its spread.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest reference codes are averaged; all of them if there are fewer.
    n_references : int, default=1024
        How many training rows a row is compared with; a detector offers at most 4096. Rows or codes wider than 128 are
        compared with fewer, in inverse proportion, but with at least 256.
    """

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.code

    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        del held_out, others
        spread = references.code.double().std(dim=1, correction=0)
        return torch.where(spread > 0, spread, torch.ones_like(spread))


class ResidualDistance(_Distance):
    """Mean distance of a row's residual to the nearest residuals of training rows.

    Residuals are divided by their root mean square on held-out rows. A row is strange when the network fails on it in
    a way that it does not fail on any training row.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest reference residuals are averaged; all of them if there are fewer.
    n_references : int, default=1024
        How many training rows a row is compared with; a detector offers at most 4096. Rows or codes wider than 128 are
        compared with fewer, in inverse proportion, but with at least 256.
    """

    required_terms = ("reconstruction",)
    explains_features = True

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.target - evaluation.reconstruction

    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        del references
        return residual_spread(held_out, others)


def _ranks_and_logs(rows: Tensor, ordered: Tensor) -> Tensor:
    """Normal quantiles of ranks among ordered values, beside signed logarithms, (n_members, n, 2 * width)."""
    below, up_to = counts_below(rows, ordered)
    rank = (below + up_to).double() / 2 + 0.5
    return torch.cat([torch.special.ndtri(rank / (ordered.shape[-1] + 1)).mT, signed_log(rows)], dim=-1).to(rows.dtype)
