"""How far a row, or what was rebuilt of it, is from a few training rows: robust against clusters of outliers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import row_product
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State, city_block, signed_log, some

_SMALLEST_LENGTH = 1e-300


class _Isolation(OutlierScore):
    """Abstract: distance to the nearest of a few training rows, over many small random subsets of them.

    A small subset holds few outliers, or none, however many there are in training: the distance stays large for
    clusters of outliers, which have near neighbours among all rows. Distances add up absolute differences of
    ``sign(x) * log(1 + abs(x))``, and their ``log(1 + distance)`` is averaged over the subsets.

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
        """Cut references (n_members, n, width), which are in random order: (n_members, subsets, rows, width)."""
        size = min(self.subset_size, references.shape[1])
        n_subsets = min(self.n_subsets, references.shape[1] // size)
        return references[:, : n_subsets * size].unflatten(1, (n_subsets, size))


class SampleIsolation(_Isolation):
    """Distance of a row to the nearest of a few training rows, over many small subsets; no network is involved.

    Parameters
    ----------
    n_subsets : int, default=32
        Subsets of training rows for each member; fewer if there are not enough rows.
    subset_size : int, default=8
        Rows of a subset. More rows make the score more local, and easier to deceive by clusters of outliers.

    References
    ----------
    G. Pang et al., "LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours", ICDM Workshops 2015.
    """

    uses_terms = False
    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Keep the subsets."""
        del held_out, others
        return {"subsets": self._subsets(signed_log(references.target))}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over subsets."""
        subsets = state["subsets"]  # (m, subsets, rows, n_features)
        distances = city_block(signed_log(evaluation.target), subsets.flatten(1, 2))
        return distances.unflatten(-1, subsets.shape[1:3]).amin(dim=-1).log1p().mean(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Share the score of each subset among the features, in proportion to their addends of the distance."""
        rows, subsets = signed_log(evaluation.target), state["subsets"]
        distances = city_block(rows, subsets.flatten(1, 2)).unflatten(-1, subsets.shape[1:3])
        nearest = distances.argmin(dim=-1)  # (m, n, subsets)
        members, numbers = (
            torch.arange(len(rows), device=rows.device),
            torch.arange(subsets.shape[1], device=rows.device),
        )
        addends = (rows[:, :, None] - subsets[members[:, None, None], numbers, nearest]).abs()
        length = addends.sum(dim=-1, keepdim=True)
        return (addends * length.log1p() / length.clamp(min=_SMALLEST_LENGTH)).mean(dim=2)


class ReconstructionIsolation(_Isolation):
    """Distance of a rebuilt row to the nearest of a few rebuilt training rows, on random pairs of directions.

    The reconstruction holds what the network understood of a row; what it did not is left to scores of the residual.
    Each subset is seen from two random directions, in units of the rebuilt rows' spread along them.

    Parameters
    ----------
    n_subsets : int, default=32
        Subsets of training rows for each member; fewer if there are not enough rows.
    subset_size : int, default=8
        Rows of a subset.

    References
    ----------
    T. Pevny, "Loda: Lightweight On-line Detector of Anomalies", Machine Learning 102, 2016, for random directions.
    """

    required_terms = ("reconstruction",)
    uses_terms = False

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Draw directions, and keep the subsets as seen from there."""
        del held_out, others
        rows = signed_log(some(references).reconstruction)
        directions = _directions(len(rows), rows.shape[-1], _N_DIRECTIONS * self.n_subsets).to(rows.device)
        spread = row_product(rows, directions).std(dim=1, correction=0, keepdim=True)
        directions = directions / torch.where(spread > 0, spread, torch.ones_like(spread))
        subsets = self._subsets(row_product(rows, directions))  # (m, subsets, rows, _N_DIRECTIONS * n_subsets)
        own = subsets.unflatten(-1, (-1, _N_DIRECTIONS))[:, :, :, : subsets.shape[1]]
        return {"directions": directions, "subsets": own.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over subsets."""
        subsets = state["subsets"]  # (m, subsets, rows, _N_DIRECTIONS)
        seen = row_product(signed_log(evaluation.reconstruction), state["directions"])
        seen = seen.unflatten(-1, (-1, _N_DIRECTIONS))[..., : subsets.shape[1], None, :]  # (..., m, n, subsets, 1, 2)
        distances = (seen - subsets[:, None]).abs().sum(dim=-1)
        return distances.amin(dim=-1).log1p().mean(dim=-1)


_N_DIRECTIONS = 2


def _directions(n_members: int, width: int, n_directions: int) -> Tensor:
    """Draw normal directions, (n_members, width, n_directions): the same in each fit, others for each member."""
    drawn = [
        torch.randn(
            width, n_directions, generator=torch.Generator("cpu").manual_seed(member), dtype=torch.float64, device="cpu"
        )
        for member in range(n_members)
    ]
    return torch.stack(drawn)
