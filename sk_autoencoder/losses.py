"""Errors of one cell: how far a reconstruction is from its target."""

from __future__ import annotations

from abc import abstractmethod
from math import erf, exp, log, pi, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import reals

__all__ = ["LOSSES", "AbsoluteError", "BinaryCrossEntropy", "Huber", "Loss", "SquaredError"]


class Loss(Part):
    """Abstract: the error of each cell, from what the decoder returns and the target."""

    # What "auto" means beside this loss, and the interval its targets must lie in.
    out_activation: ClassVar[str] = "identity"
    scaling: ClassVar[str] = "standard"
    domain: ClassVar[tuple[float, float] | None] = None
    # Whether the loss wants the decoder's values before the output activation.
    on_logits: ClassVar[bool] = False
    # Whether its likelihood is the probability of a value, rather than a density in the units of the cell.
    discrete: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the error of each cell, in the shape of ``output``."""

    def with_gradient(self, output: Tensor, target: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Return the error of each cell, and its derivative by the output times a weight."""
        with torch.enable_grad():
            leaf = output.detach().requires_grad_()
            error = self(leaf, target)
            [gradient] = torch.autograd.grad(error.sum(), leaf)
        return error.detach(), gradient.mul_(weight)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Return what an error costs in nats, if the mean error of a cell is ``spread`` (ignored if it is fixed)."""
        del spread
        return error

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw scaled cells around reconstructions, with these standard deviations: by default normal ones."""
        return source.normal(mean, std)


class SquaredError(Loss):
    """Squared difference; the Gaussian likelihood up to constants."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the error of each cell."""
        return (output - target).square()

    def with_gradient(self, output: Tensor, target: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Return the squared difference, and twice the difference times the weight."""
        if type(self).__call__ is not SquaredError.__call__:  # a child may weigh it otherwise
            return super().with_gradient(output, target, weight)
        difference = output - target
        return difference.square(), difference.mul_(2 * weight)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Gaussian with variance ``spread``."""
        return 0.5 * (error / spread + (2 * pi * spread).log())


class AbsoluteError(Loss):
    """Absolute difference; pulls towards the median and bears outlying cells."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the error of each cell."""
        return F.l1_loss(output, target, reduction="none")

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Laplace distribution with scale ``spread``."""
        return error / spread + (2 * spread).log()

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw from Laplace distributions."""
        return source.laplace(mean, std / sqrt(2))


class Huber(Loss):
    """Squared near zero, absolute beyond ``delta``.

    Parameters
    ----------
    delta : float, default=1.0
        Where the square turns into a line, in scaled units.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35, 1964.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"delta": [reals(0, closed="neither")]}

    def __init__(self, delta: float = 1.0):
        self.delta = delta

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the error of each cell."""
        return F.huber_loss(output, target, reduction="none", delta=self.delta)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Gaussian up to ``delta`` and exponential tails beyond, in scaled units."""
        del spread
        inside, tails = sqrt(2 * pi) * erf(self.delta / sqrt(2)), 2 / self.delta * exp(-(self.delta**2) / 2)
        return error + log(inside + tails)


class BinaryCrossEntropy(Loss):
    """Negative log-likelihood of a Bernoulli cell; targets in [0, 1], computed from logits.

    Rows seen after training may lie outside the range that the scaling learned: they count as its nearest end.
    """

    out_activation = "sigmoid"
    scaling = "minmax"
    domain = (0.0, 1.0)
    on_logits = True
    discrete = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the error of each cell."""
        return F.binary_cross_entropy_with_logits(output, target.clamp(0.0, 1.0), reduction="none")

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw zeros and ones with the reconstruction as the probability of one, which says their spread too."""
        del std
        return (source.uniform(size=mean.shape) < mean).astype(np.float64)


LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "binary_cross_entropy": BinaryCrossEntropy,
}
