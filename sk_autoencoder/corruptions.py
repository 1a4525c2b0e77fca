"""Noise on the input: the network sees a corrupted row and learns to return the clean one.

Corruptions act on scaled rows. Under standard scaling a cell of 0 is the column's mean.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import check_array, check_random_state
from torch import Generator, Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import FLOATS, check_parameters, reals

__all__ = ["CORRUPTIONS", "Corruption", "Gaussian", "Masking", "Swap"]


class Corruption(Part):
    """Abstract: a random change of rows that draws from the generator it is given."""

    @abstractmethod
    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted rows, shape (n_samples, n_features), leaving the input untouched."""

    def corrupt(self, X: Any, random_state: Any = None) -> np.ndarray:
        """Corrupt an array, to look at or to draw.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, in the units in which the corruption is meant: an estimator applies it after scaling.
        random_state : int, RandomState instance or None, default=None
            Source of the noise.

        Returns
        -------
        X_corrupted : ndarray of shape (n_samples, n_features)
            A corrupted copy.
        """
        check_parameters(self)
        X = check_array(X, dtype=FLOATS)
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        generator = Generator(device="cpu").manual_seed(seed)
        return self(torch.tensor(X, device="cpu"), generator).numpy()


def _uniform(rows: Tensor, generator: Generator) -> Tensor:
    """Uniform draws in [0, 1), one for each cell."""
    return torch.empty_like(rows).uniform_(generator=generator)


class Gaussian(Corruption):
    """Add normal noise to every cell.

    Parameters
    ----------
    std : float, default=0.3
        Standard deviation of the noise, in scaled units (with standard scaling: in standard deviations of the column).

    References
    ----------
    P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.corruptions import Gaussian
    >>> Gaussian(std=0.5).corrupt(np.zeros((2, 3)), random_state=0).shape
    (2, 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"std": [reals(0)]}

    def __init__(self, std: float = 0.3):
        self.std = std

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted rows."""
        return torch.empty_like(rows).normal_(std=self.std, generator=generator).add_(rows)


class Masking(Corruption):
    """Set random cells to 0, which is the column's mean under standard scaling and its minimum under "minmax".

    Parameters
    ----------
    rate : float in [0, 1), default=0.3
        Share of the cells that are masked.
    rescale : bool, default=False
        Divide the cells that stay by ``1 - rate``, which keeps a row's expected value: dropout on the input.

    References
    ----------
    P. Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.corruptions import Masking
    >>> Masking(rate=0.5, rescale=True).corrupt(np.ones((1, 4)), random_state=0)
    array([[0., 0., 0., 2.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"rate": [reals(0, 1)], "rescale": ["boolean"]}

    def __init__(self, rate: float = 0.3, rescale: bool = False):
        self.rate = rate
        self.rescale = rescale

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted rows."""
        kept = _uniform(rows, generator) >= self.rate
        return rows * kept / (1 - self.rate) if self.rescale else rows * kept


class Swap(Corruption):
    """Replace random cells by the value that another row has in the same column.

    Keeps every column's distribution, which makes it the natural noise for tables of mixed columns. The other
    rows are those drawn together with the row in training, or all rows given to ``corrupt``.

    Parameters
    ----------
    rate : float in [0, 1], default=0.15
        Share of the cells that are replaced.

    References
    ----------
    M. Jahrer, "Porto Seguro's Safe Driver Prediction, 1st place", Kaggle 2017;
    J. Yoon et al., "VIME", NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder.corruptions import Swap
    >>> X = np.arange(4.0)[:, None] * [1, 10]
    >>> noisy = Swap(rate=0.5).corrupt(X, random_state=0)
    >>> bool(np.isin(noisy[:, 0], X[:, 0]).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"rate": [reals(0, 1, closed="both")]}

    def __init__(self, rate: float = 0.15):
        self.rate = rate

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted rows."""
        n_rows = rows.shape[0]
        if n_rows == 1:
            return rows.clone()
        # A shift between 1 and n - 1 never lands on the row itself.
        shift = (_uniform(rows, generator) * (n_rows - 1)).long().clamp_(max=n_rows - 2) + 1
        own = torch.arange(n_rows, device=rows.device)[:, None]
        donors = rows.gather(0, (own + shift) % n_rows)
        return torch.where(_uniform(rows, generator) < self.rate, donors, rows)


CORRUPTIONS: dict[str, type[Corruption]] = {"gaussian": Gaussian, "masking": Masking, "swap": Swap}
