"""What a detector says of rows, in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import LEARNT, OUTLIER


def verdicts(detector: Any, X: Any) -> tuple[np.ndarray, list[str]]:
    """Return which rows a fitted detector calls outliers, and their p-values or else scores as text."""
    check_detector(detector, "predict", "score_samples")
    is_outlier = np.asarray(detector.predict(X)) == -1
    if hasattr(detector, "p_values"):
        return is_outlier, [f"p = {p:.2g}" for p in detector.p_values(X)]
    return is_outlier, [f"score {score:.3g}" for score in -np.asarray(detector.score_samples(X))]


def word(is_outlier: bool) -> str:
    """Name a verdict."""
    return "outlier" if is_outlier else "normal"


def colour(is_outlier: bool) -> str:
    """Colour of a verdict."""
    return OUTLIER if is_outlier else LEARNT
