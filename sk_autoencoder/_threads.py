"""How many of torch's threads a piece of work is worth."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

# A thread pays if its share of a parallel operation has so many multiplications at least: some hundred microseconds.
_LEAST_SHARE = 1 << 23
# About how many parallel operations there are in a step of training, while an array is encoded, and while it is scored.
TRAINING_STEP, ENCODING, SCORING = 8, 64, 256


def threads(n_multiplications: float, n_operations: int) -> AbstractContextManager[Any]:
    """Compute with as many threads as pay, of those that the calling thread has; other threads keep theirs.

    Threads wait for each other at the end of each operation, and keep their processors busy while they do. On a busy
    machine one of them is always late, and small operations take longer on several threads than on one.
    """
    n_paying = max(1, int(n_multiplications / n_operations / _LEAST_SHARE))
    if n_paying >= torch.get_num_threads():
        return nullcontext()
    return _openmp().limit(limits=n_paying)


@cache
def _openmp() -> ThreadpoolController:
    """Return the control of OpenMP's threads, whose number each thread has for itself."""
    return ThreadpoolController().select(user_api="openmp")
