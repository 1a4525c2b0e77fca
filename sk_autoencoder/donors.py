"""Values in place of missing ones after training: means of features, or those of the nearest training sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.impute import KNNImputer
from torch import Tensor

from sk_autoencoder.blocks import row_product
from sk_autoencoder.networks.base import filled

N_DONORS = 512
_CELLS_AT_ONCE = 1 << 20


class Means:
    """Replace missing values by the means of the features.

    Parameters
    ----------
    fill : Tensor of shape (n_features,)
        Scaled means.
    refines : bool
        Whether the network then replaces them by their reconstruction.
    """

    def __init__(self, fill: Tensor, refines: bool):
        self.fill, self.refines = fill, refines

    def __call__(self, rows: Tensor) -> Tensor:
        """Return samples (..., n_features) without missing values."""
        return filled(rows, self.fill)


class Donors:
    """Replace the missing values of a sample by those of the donor that is nearest in its observed features.

    So scores see complete samples whose features fit together (hot-deck imputation). Where several donors are equally
    near, as for a sample without observed values, the first is taken.

    Parameters
    ----------
    rows : Tensor of shape (n_donors, n_features)
        Scaled samples without missing values.
    """

    refines = False

    def __init__(self, rows: Tensor):
        self.rows = rows
        donors = rows.double().T
        # The squared distance over observed features is sum(x ** 2) + sum(-2 * x * d + d ** 2).
        self._matrix = torch.cat([-2 * donors, donors.square()])[None]  # (1, 2 * n_features, n_donors)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return samples (..., n_features) without missing values."""
        flat = rows.reshape(-1, rows.shape[-1]).clone()
        for some in flat.isnan().any(dim=1).nonzero()[:, 0].split(max(1, _CELLS_AT_ONCE // len(self.rows))):
            own = flat[some]
            observed = ~own.isnan()
            known = torch.where(observed, own, 0).double()
            distances = row_product(torch.cat([known, observed.double()], dim=1)[None], self._matrix)[0]
            flat[some] = torch.where(observed, own, self.rows[distances.argmin(dim=1)])
        return flat.view(rows.shape)


Filling = Means | Donors


def choose_donors(rows: np.ndarray, typical: np.ndarray) -> np.ndarray:
    """Make donors of scaled training samples (n, n_features), which may have missing values themselves.

    They are filled from their nearest neighbors with the feature (nan-Euclidean distance), or by the mean of the
    feature; a feature without any value becomes that of ``typical`` (n_features,), the scaled means. The donors nearest
    to ``typical`` come first.
    """
    if np.isnan(rows).any():
        rows = rows[~np.isnan(rows).all(axis=1)]
        absent = np.isnan(rows).all(axis=0)
        imputer: Any = KNNImputer(n_neighbors=1, keep_empty_features=True)
        rows = np.where(absent, typical, imputer.fit_transform(rows))
    return rows[np.argsort(np.square(rows - typical).sum(axis=1), kind="stable")]
