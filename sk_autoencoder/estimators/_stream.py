"""Scores of a time series that arrives step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class StreamResult:
    """Scores of new steps of a stream.

    Parameters
    ----------
    scores : ndarray of shape (n_steps,)
        ``score_samples`` of the windows that end at the steps; lower for outliers.
    labels : ndarray of shape (n_steps,)
        1 for inliers, -1 for outliers.
    explain : callable
        Function without arguments that returns ``sensors``.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray, explain: Callable[[], np.ndarray]):
        self.scores, self.labels, self._explain = scores, labels, explain

    @property
    def sensors(self) -> np.ndarray:
        """``sensor_scores`` of the windows that end at the steps, (n_steps, n_sensors); computed when they are read."""
        return self._explain()


class SeriesStream:
    """Scores of one series that arrives step by step; the detector is not changed.

    Parameters
    ----------
    score : callable
        Function of steps, (n_steps, n_sensors), and the number of those that are scored, the last ones, that returns
        a ``StreamResult``.
    check : callable
        Function that validates new steps.
    window_size : int
        Number of steps that the first score needs.
    """

    def __init__(
        self,
        score: Callable[[np.ndarray, int], StreamResult],
        check: Callable[[Any], np.ndarray],
        window_size: int,
    ):
        self._score, self._check, self._size = score, check, window_size
        self._steps: np.ndarray | None = None  # the last ones, at most one less than a window has

    def push(self, steps: Any) -> StreamResult | None:
        """Score new steps, each by the window that ends there.

        Parameters
        ----------
        steps : array-like of shape (n_sensors,) or (n_steps, n_sensors)
            One or several new steps, in the order of time.

        Returns
        -------
        result : StreamResult or None
            The scores of those steps that end a window; None until a window is full.
        """
        new = self._check(steps)
        known = new if self._steps is None else np.concatenate([self._steps, new])
        n_scored = min(len(new), len(known) - self._size + 1)
        result = self._score(known[-(n_scored + self._size - 1) :], n_scored) if n_scored > 0 else None
        self._steps = known[max(0, len(known) - self._size + 1) :].copy()
        return result

    def get_state(self) -> dict[str, np.ndarray]:
        """Return the state of the stream, with which ``stream(state=...)`` of the detector continues it.

        Returns
        -------
        state : dict of ndarray
            "steps" are the last steps, (n_steps, n_sensors); empty before the first one.
        """
        return {} if self._steps is None else {"steps": self._steps.copy()}

    def set_state(self, state: dict[str, np.ndarray]) -> SeriesStream:
        """Continue from the state of another stream.

        Parameters
        ----------
        state : dict of ndarray
            The result of ``get_state``.

        Returns
        -------
        self : SeriesStream
            The stream.
        """
        self._steps = self._check(state["steps"])[-(self._size - 1) :].copy() if state and self._size > 1 else None
        return self
