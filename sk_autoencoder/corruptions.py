"""Corruptions of the input, for denoising autoencoders: the network learns to reconstruct the clean sample.

Corruptions act on scaled samples. With standard scaling, 0 is the mean of each feature.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.utils import check_array, check_random_state
from torch import Generator, Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import FLOATS, check_parameters, integers, reals

__all__ = ["CORRUPTIONS", "Corruption", "Gaussian", "Masking", "Swap"]


class Corruption(Part):
    """Abstract base class: a random change of samples that draws from a given generator."""

    @abstractmethod
    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted samples of shape (n_samples, n_features), without changing the input."""

    def shaped(self, sample_shape: tuple[int, ...] | None) -> Corruption:
        """Return the corruption of samples that are read in this shape; None is a shape that is not known."""
        del sample_shape
        return self

    def with_gaps(self) -> Corruption:
        """Return the corruption of samples with missing values, NaN."""
        return self

    def corrupt(self, X: Any, random_state: Any = None, sample_shape: Any = None) -> np.ndarray:
        """Corrupt an array, for example for plots.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples, scaled as in training: an estimator applies the corruption after scaling.
        random_state : int, RandomState instance or None, default=None
            Seed or generator of the noise.
        sample_shape : tuple of int or None, default=None
            How a sample is read, as in the network: (sensors, steps), or (channels, height, width).

        Returns
        -------
        X_corrupted : ndarray of shape (n_samples, n_features)
            A corrupted copy of X.
        """
        check_parameters(self)
        X = check_array(X, dtype=FLOATS)
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        generator = Generator(device="cpu").manual_seed(seed)
        if sample_shape is not None and prod(sample_shape) != X.shape[1]:
            raise ValueError(f"sample_shape={sample_shape!r} does not fit the {X.shape[1]} features of X.")
        corruption = self.shaped(None if sample_shape is None else tuple(sample_shape))
        return corruption(torch.tensor(X, device="cpu"), generator).numpy()


def _uniform(rows: Tensor, generator: Generator) -> Tensor:
    """Draw uniform numbers in [0, 1) of the shape of ``rows``."""
    return torch.empty_like(rows).uniform_(generator=generator)


class Gaussian(Corruption):
    """Add Gaussian noise to all values.

    Parameters
    ----------
    std : float, default=0.3
        Standard deviation of the noise, in scaled units (with standard scaling: in standard deviations of the feature).

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
        """Return corrupted samples."""
        return torch.empty_like(rows).normal_(std=self.std, generator=generator).add_(rows)


class Masking(Corruption):
    """Set random values to 0, which is the feature's mean with standard scaling and its minimum with "minmax".

    If an estimator has missing values in its training set, these values become missing: the network gets the mean of
    the feature, later its own reconstruction, and with ``add_indicator=True`` an indicator of 1.

    Parameters
    ----------
    rate : float in [0, 1), default=0.3
        Probability that a value is set to 0.
    rescale : bool, default=False
        Whether to divide the other values by ``1 - rate``, which preserves expected values, as dropout does.
    span : int, default=1
        Side of the hidden areas. With more than 1, runs of ``span`` neighboring steps are hidden in all sensors of a
        sample, or squares with this side in all channels of an image, at random places; ``rate`` stays the expected
        fraction of hidden values. The network must have a ``sample_shape``.

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "rate": [reals(0, 1)],
        "rescale": ["boolean"],
        "span": [integers(1)],
    }
    _sides: tuple[int, ...] | None = None  # steps, or height and width, of samples with a shape
    _as_missing = False  # whether hidden values become NaN

    def __init__(self, rate: float = 0.3, rescale: bool = False, span: int = 1):
        self.rate = rate
        self.rescale = rescale
        self.span = span

    def shaped(self, sample_shape: tuple[int, ...] | None) -> Masking:
        """Return one that knows the shape of the samples, if it needs to."""
        if self.span == 1:
            return self
        sides = () if sample_shape is None else sample_shape[1:]
        if len(sides) not in (1, 2):
            raise ValueError(
                f"Masking(span={self.span}) hides neighboring values and needs sample_shape=(sensors, steps) or "
                f"(channels, height, width), but sample_shape={sample_shape}; set it in the network, or use span=1."
            )
        if self.span > min(sides):
            raise ValueError(f"Masking(span={self.span}) exceeds a side of sample_shape={sample_shape}.")
        shaped = clone(self)
        shaped._sides = sides
        return shaped

    def with_gaps(self) -> Masking:
        """Return one whose hidden values become NaN."""
        masking = copy.copy(self)
        masking._as_missing = True
        return masking

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Return corrupted samples."""
        if self._sides is None:
            kept = _uniform(rows, generator) >= self.rate
        else:
            kept = ~self._hidden(rows, generator, self._sides)
        noisy = rows.masked_fill(~kept, torch.nan if self._as_missing else 0)  # also missing values
        return noisy / (1 - self.rate) if self.rescale else noisy

    def _hidden(self, rows: Tensor, generator: Generator, sides: tuple[int, ...]) -> Tensor:
        """Return which values lie in areas whose first corners are drawn, also before the first step."""
        # An area covers a value if it begins at one of span ** n_axes places. Each place begins one with a probability
        # such that the probability that no area covers a value is 1 - rate.
        n_axes, margin = len(sides), self.span - 1
        start = 1 - (1 - self.rate) ** (self.span**-n_axes)
        places = torch.empty(len(rows), *(side + margin for side in sides), dtype=rows.dtype, device=rows.device)
        begins = (places.uniform_(generator=generator) < start).to(rows.dtype)[:, None]
        pool = F.max_pool1d if n_axes == 1 else F.max_pool2d
        hidden = pool(begins, self.span, stride=1) > 0  # (n, 1, *sides)
        return hidden.flatten(1).repeat(1, rows.shape[1] // prod(sides))


class Swap(Corruption):
    """Replace random values by the value of another sample in the same feature.

    Preserves the marginal distribution of each feature, also of binary and count features. The other samples are those
    of the same chunk of mini-batches in training, or of the array given to ``corrupt``.

    Parameters
    ----------
    rate : float in [0, 1], default=0.15
        Probability that a value is replaced.

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
        """Return corrupted samples."""
        n_rows = rows.shape[0]
        if n_rows == 1:
            return rows.clone()
        # Each value is taken from the sample ``shift`` positions further; 1 <= shift <= n - 1 excludes the same sample.
        shift = (_uniform(rows, generator) * (n_rows - 1)).long().clamp_(max=n_rows - 2) + 1
        positions = torch.arange(n_rows, device=rows.device)[:, None]
        donors = rows.gather(0, (positions + shift) % n_rows)
        return torch.where(_uniform(rows, generator) < self.rate, donors, rows)


CORRUPTIONS: dict[str, type[Corruption]] = {"gaussian": Gaussian, "masking": Masking, "swap": Swap}
