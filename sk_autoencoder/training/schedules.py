"""Learning rates as functions of progress."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """Stay at ``learning_rate_init``."""
    del progress
    return 1.0


def cosine(progress: float) -> float:
    """Fall along half a cosine to zero (Loshchilov and Hutter, ICLR 2017)."""
    return 0.5 * (1.0 + cos(pi * progress))


_WARM_UP = 0.3


def onecycle(progress: float) -> float:
    """Rise from 1/25 to 1 over the first 30 % of the steps, then fall to zero, both along cosines (Smith, 2018)."""
    if progress < _WARM_UP:
        return 1.0 - (1.0 - 1 / 25) * cosine(progress / _WARM_UP)
    return cosine((progress - _WARM_UP) / (1.0 - _WARM_UP))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "onecycle": onecycle}
