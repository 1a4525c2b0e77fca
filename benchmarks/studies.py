"""What the rows of ``benchmarks.reconstruction`` share: images, errors, and what a row returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from sk_autoencoder import AutoencoderTransformer, ReconstructionDisplay
from sk_autoencoder.networks import Dense

# Images in [0, 1] need no scaling, and there is no noise unless a row says so; all other settings stand in its row.
PIXELS: dict[str, Any] = {
    "scaling": None,
    "network": Dense(out_activation="sigmoid"),
    "alpha": 0.0,
    "corruption": None,
    "random_state": 0,
}
MNIST_SHAPE = (1, 28, 28)


@dataclass
class Images:
    """Flat float32 images in [0, 1] and their classes.

    The second half of MNIST's test images is harder than the first, so the quick mode takes every fifth image.
    """

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@dataclass
class Study:
    """Where images come from and pictures go, and how much of both."""

    data: Path
    out: Path
    full: bool

    @cached_property
    def mnist(self) -> Images:
        """Handwritten digits (LeCun et al.)."""
        return self._load("mnist")

    @cached_property
    def fashion(self) -> Images:
        """Clothes (Zalando Research)."""
        return self._load("fashion_mnist")

    def pick(self, quick: Any, full: Any) -> Any:
        """Choose by mode."""
        return full if self.full else quick

    def rebuilt(self, name: str, model: Any, X: np.ndarray, target: np.ndarray | None = None, **looks: Any) -> None:
        """Draw the first images beside what a model makes of them."""
        display = ReconstructionDisplay.from_estimator(
            model, X[:8], target=target, image_shape=MNIST_SHAPE[1:], **looks
        )
        self.picture(name, display)

    def picture(self, name: str, display: Any) -> None:
        """Store the figure of a display."""
        display.figure_.savefig(self.out / f"{name}.png", dpi=110, bbox_inches="tight")
        plt.close(display.figure_)

    def _load(self, name: str) -> Images:
        with np.load(self.data / "images" / f"{name}.npz", allow_pickle=False) as stored:
            train, test = slice(None, self.pick(10000, None)), slice(None, None, self.pick(5, None))
            X, X_test = (
                stored[key][chosen].reshape(-1, np.prod(MNIST_SHAPE)).astype(np.float32) / np.float32(255)
                for key, chosen in (("X_train", train), ("X_test", test))
            )
            return Images(X, stored["y_train"][train], X_test, stored["y_test"][test])


@dataclass(frozen=True)
class Result:
    """What a row found, in words, and whether it is what the row must show."""

    measured: str
    passed: bool


@dataclass(frozen=True)
class Row:
    """One system: what is known of it, what must come out, the function that finds out, and less for fewer images."""

    name: str
    known: str
    must: str
    run: Callable[[Study], Result]
    quick: str = ""


def squared(model: Any, X: np.ndarray, target: np.ndarray | None = None) -> float:
    """Squared error of an image, the mean over images; X is what the model sees."""
    target = X if target is None else target
    rebuilt = model.reconstruct(X) if hasattr(model, "reconstruct") else model.inverse_transform(model.transform(X))
    return float(((rebuilt - target).astype(np.float64) ** 2).sum(axis=1).mean())


def cross_entropy(model: AutoencoderTransformer, X: np.ndarray) -> float:
    """Binary cross-entropy of a pixel, the mean over pixels and images."""
    p = np.clip(model.reconstruct(X).astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-(X * np.log(p) + (1 - X) * np.log(1 - p)).mean())


def pca(n_components: int, X: np.ndarray) -> PCA:
    """The best linear code."""
    return PCA(n_components, svd_solver="covariance_eigh").fit(X.astype(np.float64))
