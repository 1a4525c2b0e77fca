"""Distances of a sample, its latent code or its residual to those of training samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers, reals
from sk_autoencoder.blocks import row_product
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import (
    N_REFERENCES,
    OutlierScore,
    State,
    all_alike,
    by_source,
    city_block,
    counts_below,
    of_members,
    ordered_columns,
    residual_spread,
    signed_log,
    some,
)

_COMPARED_AT_ONCE = 1 << 9  # references that are compared with each other, to save memory
_TINY = 1e-30
_SMALLEST_DISTANCE = 1e-4  # of ranks, so that copies of a reference have a distance


class _Nearest(OutlierScore):
    """Abstract base class: mean distance to the nearest references, in a space that the subclass chooses.

    L1 distance in the network's dtype, less sensitive to single extreme entries than L2. References are samples that
    the member was trained on, drawn at random.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [integers(1)],
        "n_references": [integers(1)],
    }

    def __init__(self, n_neighbors: int = 2, n_references: int = N_REFERENCES):
        self.n_neighbors = n_neighbors
        self.n_references = n_references

    def _mean(self, vectors: Tensor, references: Tensor) -> Tensor:
        """Mean distances, (n_members, n, width) and (n_members, n_references, width) -> (n_members, n)."""
        members = zip(vectors, references, strict=True)
        return torch.stack([self._mean_of(city_block(*member)) for member in members])

    def _mean_of(self, distances: Tensor) -> Tensor:
        return self._smallest(distances).mean(dim=-1, dtype=torch.float64)

    def _smallest(self, distances: Tensor) -> Tensor:
        """Return the smallest distances in ascending order, (..., n_references) -> (..., n_neighbors)."""
        if self.n_neighbors == 1:
            return distances.amin(dim=-1, keepdim=True)
        return distances.topk(min(self.n_neighbors, distances.shape[-1]), dim=-1, largest=False).values

    def _addends(self, vectors: Tensor, references: Tensor) -> Tensor:
        """Terms of the mean L1 distance, one for each entry, (n_members, n, width)."""
        addends = []
        for member_vectors, member_references in zip(vectors, references, strict=True):
            n_neighbors = min(self.n_neighbors, len(member_references))
            distances = city_block(member_vectors, member_references)
            nearest = distances.topk(n_neighbors, dim=-1, largest=False).indices
            differences = (member_vectors[:, None] - member_references[nearest]).abs()
            addends.append(differences.mean(dim=1, dtype=torch.float64))
        return torch.stack(addends)


class _Distance(_Nearest):
    """Abstract base class: mean distance of vectors whose entries are divided by their spread."""

    uses_terms = False

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store the spread of each entry, and the references divided by it."""
        spread = self._spread(references, held_out, others)
        vectors = self._vectors(some(references, self.n_references))
        spread = spread.to(vectors.dtype)
        return {"references": vectors / spread[:, None, :], "spread": spread}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        return self._mean(self._vectors(evaluation) / state["spread"][:, None, :], state["references"])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the term of each feature in the mean distance."""
        if not self.explains_features:
            return super().feature_scores(evaluation, state)
        return self._addends(self._vectors(evaluation) / state["spread"][:, None, :], state["references"])

    @abstractmethod
    def _vectors(self, evaluation: Evaluation) -> Tensor:
        """Return the vectors that are compared, (n_members, n, width)."""

    @abstractmethod
    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        """Return the positive number that each entry is divided by, (n_members, width)."""


class _OfSamples(_Nearest):
    """Abstract base class: distances of samples, after a transformation that is the same for all members.

    References that several members share are stored once, see ``by_source``.
    """

    uses_terms = False
    uses_network = False
    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store the transformed references, and what the transformation is learnt from."""
        del held_out
        stored = by_source(some(references, self.n_references).target, others)
        learnt = self._learnt(stored["references"])
        return learnt | stored | {"references": self._transformed(stored["references"], learnt)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        rows, sources = evaluation.target, state["sources"]
        if not all_alike(rows):
            return self._mean(self._transformed(rows, state), of_members(state))
        # Compute the distance to each reference only once.
        distances = city_block(self._transformed(rows[:1], state)[0], state["references"].flatten(0, 1))
        nearest = self._smallest(distances.unflatten(-1, state["references"].shape[:2]))
        return torch.stack([self._mean_of(nearest[:, member_sources].flatten(1)) for member_sources in sources])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the term of each feature in the mean distance."""
        return self._addends(self._transformed(evaluation.target, state), of_members(state))

    def _learnt(self, rows: Tensor) -> State:
        """Return what the transformation needs of the references of all sources, (n_sources, n, n_features)."""
        del rows
        return {}

    def _transformed(self, rows: Tensor, state: State) -> Tensor:
        """Return the vectors that are compared, (k, n, n_features) -> (k, n, width)."""
        del state
        return rows


class SampleDistance(_OfSamples):
    """Mean distance of a sample to the nearest training samples, in scaled units; the network is not used.

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of nearest references that are averaged; all of them if there are fewer. With 1, single outliers are
        found; larger numbers also find small clusters of outliers.
    n_references : int, default=1024
        Number of training samples that a sample is compared with; a detector provides at most 4096. For samples or
        codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.

    References
    ----------
    S. Ramaswamy et al., "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000.
    M. Sugiyama and K. Borgwardt, "Rapid Distance-Based Outlier Detection via Sampling", NeurIPS 2013.
    """

    keeps_extremes = True


class RankDistance(_OfSamples):
    """Mean distance of a sample to the nearest training samples, by ranks and logarithms; the network is not used.

    Each value x is replaced by two: the standard normal quantile of its rank among the values of the references of all
    members (ties get their mean rank), and ``sign(x) * log(1 + abs(x))``. This shrinks long tails and gaps, and gives
    more weight to differences where values of a feature are dense.

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of nearest references that are averaged; all of them if there are fewer.
    n_references : int, default=1024
        Number of training samples that a sample is compared with; a detector provides at most 4096. For samples or
        codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.

    References
    ----------
    W. J. Conover and R. L. Iman, "Rank Transformations as a Bridge Between Parametric and Nonparametric Statistics",
    The American Statistician 35, 1981.
    """

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the terms of each feature in the mean distance, summed over rank and logarithm."""
        return super().feature_scores(evaluation, state).unflatten(-1, (2, -1)).sum(dim=-2)

    def _learnt(self, rows: Tensor) -> State:
        return {"sorted": ordered_columns(rows.flatten(0, 1)[None])}

    def _transformed(self, rows: Tensor, state: State) -> Tensor:
        together = rows.flatten(0, 1)[None]
        return _ranks_and_logs(together, state["sorted"])[0].unflatten(0, rows.shape[:2])


class RelativeDistance(RankDistance):
    """Distance of a sample to the nearest training samples, relative to the distances between these, by ranks.

    The score is ``d / r**exponent``, where d is the mean Euclidean distance of the sample to its nearest references,
    and r is the mean of the same distance of these references to theirs. Samples are compared by ranks and logarithms
    as in :class:`RankDistance`. With ``exponent=0`` the score is the distance to the nearest neighbors, with
    ``exponent=1`` a local outlier factor, which is large for samples beside a dense part of the training set. The
    default is the geometric mean of both.

    Parameters
    ----------
    n_neighbors : int, default=5
        Number of nearest references that are averaged; all of them if there are fewer.
    n_references : int, default=4096
        Number of training samples that a sample is compared with; a detector provides at most 4096. For samples or
        codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.
    exponent : float, default=0.5
        Weight of the distances between the references, between 0 and 1.

    References
    ----------
    M. Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000.
    E. Schubert et al., "Local outlier detection reconsidered: a generalized view on locality", Data Mining and
    Knowledge Discovery 28, 2014, with the local outlier factor in this form.
    """

    uses_terms = False
    uses_network = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_neighbors": [integers(1)],
        "n_references": [integers(1)],
        "exponent": [reals(0, 1, closed="both")],
    }

    def __init__(self, n_neighbors: int = 5, n_references: int = 4096, exponent: float = 0.5):
        self.n_neighbors = n_neighbors
        self.n_references = n_references
        self.exponent = exponent

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store the transformed references, and the mean distance of each to its nearest ones."""
        state = super().fit(references, held_out, others)
        stored = state["references"]
        # Members that have several sources share them; otherwise, each has one of its own.
        groups = stored.flatten(0, 1)[None] if state["sources"].shape[1] > 1 else stored
        nearest = [
            _euclidean(part, group[None], self.n_neighbors + 1)[0][:, 0]
            for group in groups
            for part in group.split(_COMPARED_AT_ONCE)
        ]
        others_nearest = torch.cat(nearest).sort(dim=-1).values[:, 1:]  # without the reference itself
        return state | {"own": others_nearest.mean(dim=-1).nan_to_num(nan=1.0).view(stored.shape[:2])}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the relative distance."""
        rows, own, sources = self._transformed(evaluation.target, state), state["own"], state["sources"]
        if all_alike(evaluation.target):  # compute the distance to each reference only once
            distances, places = _euclidean(rows[0], state["references"], self.n_neighbors)
            theirs = own[torch.arange(len(own), device=own.device)[:, None], places]
            found = [(distances[:, of_member].flatten(1), theirs[:, of_member].flatten(1)) for of_member in sources]
        else:
            own_of_members = of_members(state | {"references": own[..., None]})[..., 0]
            found = []
            for member_rows, references, member_own in zip(rows, of_members(state), own_of_members, strict=True):
                distances, places = _euclidean(member_rows, references[None], self.n_neighbors)
                found.append((distances[:, 0], member_own[places[:, 0]]))
        return torch.stack([self._relative(*pair) for pair in found])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Divide the score among the features, in proportion to their terms of the mean squared distance."""
        terms = super().feature_scores(evaluation, state)
        total = terms.sum(dim=-1, keepdim=True)
        shares = torch.where(total > 0, terms / total.clamp(min=_TINY), 1 / terms.shape[-1])
        return shares * self(evaluation, state)[..., None]

    def _addends(self, vectors: Tensor, references: Tensor) -> Tensor:
        """Terms of the mean squared distance, one for each entry, (n_members, n, width)."""
        addends = []
        for member_vectors, member_references in zip(vectors, references, strict=True):
            _, places = _euclidean(member_vectors, member_references[None], self.n_neighbors)
            differences = member_vectors[:, None] - member_references[places[:, 0]]
            addends.append(differences.square().mean(dim=1, dtype=torch.float64))
        return torch.stack(addends)

    def _relative(self, distances: Tensor, own: Tensor) -> Tensor:
        """Divide the mean of the smallest distances to references by that of the references' own, both (n, k)."""
        nearest, places = distances.topk(min(self.n_neighbors, distances.shape[1]), dim=-1, largest=False)
        mean, theirs = (
            part.mean(dim=-1, dtype=torch.float64).clamp(min=_SMALLEST_DISTANCE)
            for part in (nearest, own.gather(1, places))
        )
        return mean / theirs**self.exponent


class CodeDistance(_Distance):
    """Mean distance of a latent code to the nearest codes of training samples, each entry divided by its spread.

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of nearest reference codes that are averaged; all of them if there are fewer.
    n_references : int, default=1024
        Number of training samples that a sample is compared with; a detector provides at most 4096. For samples or
        codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.
    """

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.code

    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        del held_out, others
        spread = references.code.double().std(dim=1, correction=0)
        return torch.where(spread > 0, spread, torch.ones_like(spread))


class ResidualDistance(_Distance):
    """Mean distance of a sample's residual to the nearest residuals of training samples.

    Residuals are divided by their root mean square on held-out samples. The score is large where the residual is unlike
    that of any training sample.

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of nearest reference residuals that are averaged; all of them if there are fewer.
    n_references : int, default=1024
        Number of training samples that a sample is compared with; a detector provides at most 4096. For samples or
        codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.
    """

    required_terms = ("reconstruction",)
    keeps_extremes = True
    explains_features = True

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.target - evaluation.reconstruction

    def _spread(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        del references
        return residual_spread(held_out, others)


def _ranks_and_logs(rows: Tensor, ordered: Tensor) -> Tensor:
    """Normal quantiles of ranks among the ordered values, followed by signed logarithms, (1, n, 2 * width)."""
    below, up_to = counts_below(rows, ordered)
    rank = (below + up_to).double() / 2 + 0.5
    return torch.cat([torch.special.ndtri(rank / (ordered.shape[-1] + 1)).mT, signed_log(rows)], dim=-1).to(rows.dtype)


@torch.inference_mode()
def _euclidean(rows: Tensor, references: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Distances to the nearest references of each source, and their places, both (n, n_sources, n_neighbors).

    The shapes are (n, width) for ``rows`` and (n_sources, n_of_source, width) for ``references``. A matrix product,
    which is many times faster than distances, tells which are nearest; its rounding errors do not enter the distances.
    """
    together = references.flatten(0, 1)
    bias = together.square().sum(dim=-1) / -2
    nearness = row_product(rows[None], together.mT[None], bias[None, None])[0].unflatten(-1, references.shape[:2])
    places = nearness.topk(min(n_neighbors, references.shape[1]), dim=-1).indices
    sources = torch.arange(len(references), device=references.device)[:, None]
    return torch.linalg.vector_norm(rows[:, None, None] - references[sources, places], dim=-1), places
