"""Limits on the number of torch's threads, by the size of an operation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

# Minimum number of multiplications per thread in a parallel operation; they take about 0.1 ms.
_LEAST_SHARE = 1 << 23
# Approximate number of parallel operations in a training step, and when an array is encoded or scored.
TRAINING_STEP, ENCODING, SCORING = 8, 64, 256


def threads(n_multiplications: float, n_operations: int, most: int | None = None) -> AbstractContextManager[Any]:
    """Return a context in which torch uses fewer threads for small operations; ``most`` is the maximum number.

    The limit applies to the calling Python thread. The threads of an operation wait for each other at its end in a busy
    loop. If other processes use the same processors, small operations are slower with several threads than with one.
    """
    present = torch.get_num_threads()
    n_threads = min(present, max(1, int(n_multiplications / n_operations / _LEAST_SHARE)))
    n_threads = n_threads if most is None else min(most, n_threads)
    return nullcontext() if n_threads == present else _openmp().limit(limits=n_threads)


@cache
def _openmp() -> ThreadpoolController:
    """Return the controller of the number of OpenMP threads, which is a setting of each Python thread."""
    return ThreadpoolController().select(user_api="openmp")
