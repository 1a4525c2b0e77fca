"""Warnings that are attributed to the user's line of code."""

from __future__ import annotations

import sys
import warnings

_NOT_THE_USERS = ("sk_autoencoder", "sklearn", "skorch", "torch", "contextlib", "joblib")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the innermost stack frame outside this package and the libraries that call it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_USERS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
