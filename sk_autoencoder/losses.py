"""Reconstruction losses, computed for each entry of the output and the target."""

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
    """Abstract base class: the loss of each entry, from the decoder's output and the target."""

    # The output activation and the scaling that "auto" stands for with this loss, and the interval of valid targets.
    out_activation: ClassVar[str] = "identity"
    scaling: ClassVar[str] = "standard"
    domain: ClassVar[tuple[float, float] | None] = None
    # Whether the loss takes the decoder's output before the output activation.
    on_logits: ClassVar[bool] = False
    # Whether the likelihood is a probability (discrete data), rather than a density in the units of the feature.
    discrete: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each entry, in the shape of ``output``."""

    def with_gradient(self, output: Tensor, target: Tensor, weight: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each entry, and its derivative with respect to the output, times ``weight``."""
        with torch.enable_grad():
            leaf = output.detach().requires_grad_()
            error = self(leaf, target)
            [gradient] = torch.autograd.grad(error.sum(), leaf)
        return error.detach(), gradient.mul_(weight)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Return the negative log-likelihood in nats of entries with loss ``error``, if their mean loss is ``spread``.

        Losses whose distribution has a fixed scale ignore ``spread``.
        """
        del spread
        return error

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw scaled values with the given means and standard deviations, by default from normal distributions."""
        return source.normal(mean, std)


class SquaredError(Loss):
    """Squared difference; the negative Gaussian log-likelihood up to constants."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each entry."""
        return (output - target).square()

    def with_gradient(self, output: Tensor, target: Tensor, weight: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the squared difference, and twice the difference times ``weight``."""
        if type(self).__call__ is not SquaredError.__call__:  # a subclass with a different loss
            return super().with_gradient(output, target, weight)
        difference = output - target
        return difference.square(), difference.mul_(2 * weight)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Return that of a Gaussian with variance ``spread``."""
        return 0.5 * (error / spread + (2 * pi * spread).log())


class AbsoluteError(Loss):
    """Absolute difference; estimates the conditional median and is robust to outlying entries."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each entry."""
        return F.l1_loss(output, target, reduction="none")

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Return that of a Laplace distribution with scale ``spread``."""
        return error / spread + (2 * spread).log()

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw from Laplace distributions."""
        return source.laplace(mean, std / sqrt(2))


class Huber(Loss):
    """Huber loss: quadratic for differences up to ``delta``, linear beyond.

    Parameters
    ----------
    delta : float, default=1.0
        The difference at which the loss changes from quadratic to linear, in scaled units.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35, 1964.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"delta": [reals(0, closed="neither")]}

    def __init__(self, delta: float = 1.0):
        self.delta = delta

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each entry."""
        return F.huber_loss(output, target, reduction="none", delta=self.delta)

    def negative_log_likelihood(self, error: Tensor, spread: Tensor) -> Tensor:
        """Return that of a density that is Gaussian up to ``delta`` and exponential beyond, in scaled units."""
        del spread
        inside, tails = sqrt(2 * pi) * erf(self.delta / sqrt(2)), 2 / self.delta * exp(-(self.delta**2) / 2)
        return error + log(inside + tails)


class BinaryCrossEntropy(Loss):
    """Negative Bernoulli log-likelihood, computed from logits; targets must lie in [0, 1].

    New samples may lie outside the range of the training set after scaling. Their targets are clipped to [0, 1].
    """

    out_activation = "sigmoid"
    scaling = "minmax"
    domain = (0.0, 1.0)
    on_logits = True
    discrete = True

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each entry."""
        return F.binary_cross_entropy_with_logits(output, target.clamp(0.0, 1.0), reduction="none")

    def draw(self, mean: np.ndarray, std: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw zeros and ones; ``mean`` is the probability of one, and ``std`` is ignored."""
        del std
        return (source.uniform(size=mean.shape) < mean).astype(np.float64)


LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "binary_cross_entropy": BinaryCrossEntropy,
}
