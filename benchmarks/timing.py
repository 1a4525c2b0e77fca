"""Times of two functions, turn by turn in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def ratios(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> list[float]:
    """Their seconds over our seconds, pair by pair, after one warm-up of each."""
    ours(), theirs()
    return [seconds(theirs) / seconds(ours) for _ in range(repeats)]


def seconds(function: Callable[[], object]) -> float:
    """Time one call, with what it has begun on a CUDA device."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
