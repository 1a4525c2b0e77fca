"""Division of training series into parts that are held out, without leaks through overlapping windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sk_autoencoder.estimators._folds import N_FOLDS
from sk_autoencoder.estimators._series import Series

HELD_OUT = -1  # of all members; other numbers are folds
_FEWEST_HELD_OUT = 10  # steps
_SHORTEST_HELD_OUT = 5  # windows without overlap
_MOST_CYCLES = 4


@dataclass(frozen=True)
class Parts:
    """Contiguous parts of the training series: folds, and parts that nothing is trained on.

    A window belongs to the part of its first step. Nothing that holds out a part is trained on a window that shares a
    step with a window of this part: there are gaps of one window minus one step. Parts are so long that each has
    windows that share no step with windows of other parts.
    """

    series: Series
    of_step: np.ndarray  # (n_steps,) fold of each step, or HELD_OUT
    n_folds: int

    @classmethod
    def divide(cls, series: Series, excluded: np.ndarray, size: int, step: int, held_out: float) -> Parts:
        """Divide series into parts for windows of at most ``size`` steps; raise an error if they are too short."""
        usable = usable_starts(series, excluded, size)
        n_windows = int(np.count_nonzero(usable))
        shares = _shares(n_windows, size, step, held_out)
        if shares is None:
            raise ValueError(_too_short(series, excluded, size, step))
        folds, lengths = shares
        ends = np.cumsum(lengths) / np.sum(lengths) * n_windows
        number = np.maximum(np.cumsum(usable) - 1, 0)  # of the last usable window
        of_step = folds[np.searchsorted(ends[:-1], number, side="right")]
        return cls(series, of_step, folds.max() + 1)

    def around(self, starts: np.ndarray, size: int) -> np.ndarray:
        """Parts of windows, and of the first and last windows that they share a step with, (n_windows, 3)."""
        group = np.searchsorted(self.series.bounds, starts, side="right") - 1
        first, last = self.series.bounds[group], self.series.bounds[group + 1] - size
        neighbours = starts, np.maximum(starts - size + 1, first), np.minimum(starts + size - 1, last)
        return self.of_step[np.column_stack(neighbours)]

    def far_from_folds(self, starts: np.ndarray, size: int) -> list[np.ndarray]:
        """For each fold, those of the windows that share no step with a window of the fold."""
        around = self.around(starts, size)
        return [starts[(around != fold).all(axis=1)] for fold in range(self.n_folds)]

    def held_out_steps(self, size: int) -> np.ndarray:
        """Whether all windows of at most ``size`` steps that cover a step are held out, (n_steps,)."""
        steps, group = np.arange(len(self.of_step)), self.series.of_step
        first = np.maximum(steps - size + 1, self.series.bounds[group])
        last = np.minimum(steps, self.series.bounds[group + 1] - 1)
        return (self.of_step[first] == HELD_OUT) & (self.of_step[last] == HELD_OUT)


def usable_starts(series: Series, excluded: np.ndarray, size: int) -> np.ndarray:
    """Whether a window that starts at a step ends in its group and has no excluded step, (n_steps,)."""
    wrong = np.concatenate([[0], np.cumsum(excluded)])
    steps, last = np.arange(len(excluded)), series.bounds[1:][series.of_step]
    ends = np.minimum(steps + size, last)
    return (steps + size <= last) & (wrong[ends] == wrong[:-1])


def _shares(n_windows: int, size: int, step: int, held_out: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the folds and the relative lengths of the parts, in their order; None if there are too few windows."""
    shortest = 2 * (size - 1) + max(size, step)
    shortest_held_out = size - 1 + _FEWEST_HELD_OUT
    n_held_out, n_rest = held_out * n_windows, (1 - held_out) * n_windows
    n_folds = min(N_FOLDS, int(n_rest // shortest))
    if n_folds < 2 or n_held_out < max(shortest_held_out, _SHORTEST_HELD_OUT * size):
        n_folds = min(N_FOLDS, n_windows // shortest)
        return None if n_folds < 2 else (np.arange(n_folds), np.ones(n_folds))
    n_cycles = int(min(_MOST_CYCLES, n_rest // (2 * n_folds * shortest), n_held_out // (2 * shortest_held_out)))
    folds = np.tile([*range(n_folds), HELD_OUT], max(1, n_cycles))
    return folds, np.where(folds == HELD_OUT, held_out, (1 - held_out) / n_folds)


def largest_size(series: Series, excluded: np.ndarray, step: int, at_most: int) -> int:
    """Return the largest window size, up to a limit, for which series can be divided; 0 if there is none."""

    def fits(size: int) -> bool:
        return _shares(int(np.count_nonzero(usable_starts(series, excluded, size))), size, step, 0.0) is not None

    low, high = 0, at_most + 1  # ``low`` fits, ``high`` may not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _too_short(series: Series, excluded: np.ndarray, size: int, step: int) -> str:
    """Return an error message that names the largest window that fits."""
    largest = largest_size(series, excluded, step, size - 1)
    used = f"{np.count_nonzero(~excluded)} steps in {len(series.ids)} group(s)"
    if largest == 0:
        return f"{used} are too few to hold any of them out; use more steps."
    return f"{used} are too few to hold out windows of {size} steps; use window_size={largest} or less, or more steps."
