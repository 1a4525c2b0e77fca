"""How many of torch's threads an operation uses, by its size."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

# Each thread's share of a parallel operation has at least so many multiplications, which take some 0.1 ms.
_LEAST_SHARE = 1 << 23
# About how many parallel operations there are in a step of training, while an array is encoded, and while it is scored.
TRAINING_STEP, ENCODING, SCORING = 8, 64, 256


def threads(n_multiplications: float, n_operations: int, most: int | None = None) -> AbstractContextManager[Any]:
    """Limit torch's threads in the calling Python thread: small operations run on one, large ones on all it has.

    The threads of an operation wait for each other at its end, in a loop that keeps their processors busy. If other
    processes use these, small operations take longer on several threads than on one. There are at most ``most``.
    """
    present = torch.get_num_threads()
    n_threads = min(present, max(1, int(n_multiplications / n_operations / _LEAST_SHARE)))
    n_threads = n_threads if most is None else min(most, n_threads)
    return nullcontext() if n_threads == present else _openmp().limit(limits=n_threads)


@cache
def _openmp() -> ThreadpoolController:
    """Return the control of OpenMP's threads, whose number each thread has for itself."""
    return ThreadpoolController().select(user_api="openmp")
