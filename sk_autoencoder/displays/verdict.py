"""Predictions of an outlier detector as text and colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import LEARNT, OUTLIER


def verdicts(detector: Any, X: Any) -> tuple[np.ndarray, list[str]]:
    """Return which samples are predicted outliers, and their p-values as text (scores if there are no p-values)."""
    check_detector(detector, "predict", "score_samples")
    is_outlier = np.asarray(detector.predict(X)) == -1
    if hasattr(detector, "p_values"):
        return is_outlier, [f"p = {p:.2g}" for p in detector.p_values(X)]
    return is_outlier, [f"score {score:.3g}" for score in -np.asarray(detector.score_samples(X))]


def word(is_outlier: bool) -> str:
    """Text of a prediction."""
    return "outlier" if is_outlier else "normal"


def colour(is_outlier: bool) -> str:
    """Colour of a prediction."""
    return OUTLIER if is_outlier else LEARNT
