"""Warnings that point at the user's line, however deep they are raised."""

from __future__ import annotations

import sys
import warnings

_NOT_THE_USERS = ("sk_autoencoder", "sklearn", "skorch", "torch", "contextlib", "joblib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is not part of this package or of what it is called through."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
