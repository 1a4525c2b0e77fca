"""Learning-rate schedules: factors of ``learning_rate_init``, as functions of the fraction of steps done."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """Constant learning rate."""
    del progress
    return 1.0


def cosine(progress: float) -> float:
    """Cosine annealing from 1 to 0 (Loshchilov and Hutter, ICLR 2017)."""
    return 0.5 * (1.0 + cos(pi * progress))


_WARM_UP = 0.3


def onecycle(progress: float) -> float:
    """Increase from 1/25 to 1 in the first 30 % of the steps, then decrease to 0, both along cosines (Smith, 2018)."""
    if progress < _WARM_UP:
        return 1.0 - (1.0 - 1 / 25) * cosine(progress / _WARM_UP)
    return cosine((progress - _WARM_UP) / (1.0 - _WARM_UP))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "onecycle": onecycle}
