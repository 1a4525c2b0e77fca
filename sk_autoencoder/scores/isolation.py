"""Distances of samples or reconstructions to small subsets of the training set: robust to clusters of outliers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import row_product
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import (
    OutlierScore,
    State,
    all_alike,
    by_source,
    city_block,
    signed_log,
    some,
)

_SMALLEST_DISTANCE = 1e-300
_N_DIRECTIONS = 2  # random directions per subset


class _Isolation(OutlierScore):
    """Abstract base class: distance to the nearest sample of a subset, averaged over many small random subsets.

    A small subset of the training set contains few outliers or none. So the distance is large even for outliers in a
    cluster, whose nearest neighbors in the whole training set are close. The distance is the L1 distance of
    ``sign(x) * log(1 + abs(x))``. The score is the mean of ``log(1 + distance)`` over the subsets.

    References
    ----------
    G. Pang et al., "LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours", ICDM Workshops 2015.
    T. Bandaragoda et al., "Isolation-Based Anomaly Detection Using Nearest-Neighbor Ensembles", Computational
    Intelligence 34, 2018.
    """

    is_local = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_subsets": [integers(1)], "subset_size": [integers(1)]}

    def __init__(self, n_subsets: int = 32, subset_size: int = 8):
        self.n_subsets = n_subsets
        self.subset_size = subset_size

    def _subsets(self, references: Tensor) -> Tensor:
        """Split references (n_members, n, width), in random order, to (n_members, n_subsets, subset_size, width)."""
        n_subsets, size = self._shape(references.shape[1])
        return references[:, : n_subsets * size].unflatten(1, (n_subsets, size))

    def _shape(self, n_references: int) -> tuple[int, int]:
        """Return the number and the size of the subsets that so many references are split into."""
        size = min(self.subset_size, n_references)
        return min(self.n_subsets, n_references // size), size


class SampleIsolation(_Isolation):
    """Distance of a sample to the nearest of a few training samples, over many subsets; the network is not used.

    Parameters
    ----------
    n_subsets : int, default=32
        Number of subsets of the training set for each member; fewer if there are not enough samples.
    subset_size : int, default=8
        Number of samples in a subset. Larger subsets make the score more local and less robust to clusters of outliers.

    References
    ----------
    G. Pang et al., "LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours", ICDM Workshops 2015.
    """

    uses_terms = False
    uses_network = False
    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store the references, those that several members share once, and the indices of each subset."""
        del held_out
        n_sources = 1 if others is None else others.shape[1]
        n_references = references.target.shape[1] // n_sources * n_sources
        n_subsets, size = self._shape(n_references)
        n_of_source = -(-n_subsets * size // n_sources)
        stored = by_source(signed_log(references.target[:, : n_of_source * n_sources]), others)
        order = torch.arange(n_subsets * size, device=references.target.device)
        subsets = stored["sources"][:, order % n_sources] * n_of_source + order // n_sources
        return {"references": stored["references"], "subsets": subsets.unflatten(1, (n_subsets, size))}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of ``log(1 + distance)`` over the subsets."""
        return self._distances(evaluation.target, state).amin(dim=-1).log1p().mean(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Divide the score of each subset among the features, in proportion to their terms of the L1 distance."""
        rows, references, subsets = signed_log(evaluation.target), state["references"].flatten(0, 1), state["subsets"]
        nearest = self._distances(evaluation.target, state).argmin(dim=-1)  # (n_members, n, n_subsets)
        chosen = subsets[:, None].expand(-1, rows.shape[1], -1, -1).gather(-1, nearest[..., None])[..., 0]
        differences = (rows[:, :, None] - references[chosen]).abs()
        distance = differences.sum(dim=-1, keepdim=True)
        return (differences * distance.log1p() / distance.clamp(min=_SMALLEST_DISTANCE)).mean(dim=2)

    def _distances(self, rows: Tensor, state: State) -> Tensor:
        """Return the distances to the samples of each subset, (n_members, n, n_subsets, subset_size)."""
        references, subsets = state["references"].flatten(0, 1), state["subsets"]
        if all_alike(rows):
            # Compute the distance to each reference only once.
            distances = city_block(signed_log(rows[0]), references).mT.contiguous()
            return distances[subsets].permute(0, 3, 1, 2)
        distances = city_block(signed_log(rows), references[subsets.flatten(1)])
        return distances.unflatten(-1, subsets.shape[1:])


class ReconstructionIsolation(_Isolation):
    """Distance of a reconstruction to the nearest reconstruction of a few training samples, in random projections.

    The residual is ignored: other scores measure it. For each subset, the reconstructions are projected on two random
    directions, and each projection is divided by its standard deviation on the training set.

    Parameters
    ----------
    n_subsets : int, default=32
        Number of subsets of the training set for each member; fewer if there are not enough samples.
    subset_size : int, default=8
        Number of samples in a subset.

    References
    ----------
    T. Pevny, "Loda: Lightweight On-line Detector of Anomalies", Machine Learning 102, 2016, for random directions.
    """

    required_terms = ("reconstruction",)
    uses_terms = False

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Draw the directions, and store the projections of each subset on its own two directions."""
        del held_out, others
        rows = signed_log(some(references).reconstruction)
        directions = _directions(len(rows), rows.shape[-1], _N_DIRECTIONS * self.n_subsets).to(rows.device)
        spread = row_product(rows, directions).std(dim=1, correction=0, keepdim=True)
        directions = directions / torch.where(spread > 0, spread, torch.ones_like(spread))
        # Project all samples on all directions: (n_members, n_subsets, subset_size, n_pairs * 2), where n_pairs is the
        # parameter ``n_subsets`` and may be larger than the number of subsets that could be formed.
        projected = self._subsets(row_product(rows, directions))
        n_subsets = projected.shape[1]
        # Group the directions into pairs, one pair per subset: (n_members, n_subsets, subset_size, n_subsets, 2).
        pairs = projected.unflatten(-1, (-1, _N_DIRECTIONS))[:, :, :, :n_subsets]
        # Keep pair k for subset k; diagonal puts the index k last: (n_members, subset_size, 2, n_subsets).
        matched = pairs.diagonal(dim1=1, dim2=3)
        # Move k to its place: (n_members, n_subsets, subset_size, 2).
        return {"directions": directions, "subsets": matched.permute(0, 3, 1, 2)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of ``log(1 + distance)`` over the subsets."""
        subsets = state["subsets"]  # (n_members, n_subsets, subset_size, 2)
        projected = row_product(signed_log(evaluation.reconstruction), state["directions"])
        pairs = projected.unflatten(-1, (-1, _N_DIRECTIONS))[..., : subsets.shape[1], :]  # (n_members, n, n_subsets, 2)
        distances = (pairs[..., None, :] - subsets[:, None]).abs().sum(dim=-1)
        return distances.amin(dim=-1).log1p().mean(dim=-1)


def _directions(n_members: int, width: int, n_directions: int) -> Tensor:
    """Draw normal directions, (n_members, width, n_directions), with the member's index as the seed."""
    drawn = [
        torch.randn(
            width, n_directions, generator=torch.Generator("cpu").manual_seed(member), dtype=torch.float64, device="cpu"
        )
        for member in range(n_members)
    ]
    return torch.stack(drawn)
