"""Scales of the sensors of series: of all groups together or, with ``group_scaling``, of each group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators._series import Series
from sk_autoencoder.scaling import column_statistics


class SeriesScales(NamedTuple):
    """Centers and spreads of the sensors."""

    ids: list[Any]  # of groups with scales of their own
    centers: np.ndarray  # (n_groups + 1, n_sensors): of these groups, and of all groups together
    spreads: np.ndarray  # (n_groups + 1, n_sensors)
    by_group: bool

    @classmethod
    def learn(cls, series: Series, used: np.ndarray, of_groups: np.ndarray | None = None) -> SeriesScales:
        """Learn scales from used steps, (n_steps,), and from ``of_groups`` those of each group; None: all share one."""
        centers, spreads = (moment[None] for moment in moments(series.steps[used]))
        scales = cls([], centers, spreads, of_groups is not None)
        return scales if of_groups is None else scales.renewed(series, of_groups)

    def renewed(self, series: Series, used: np.ndarray) -> SeriesScales:
        """Return the scales with new ones for the groups of a series, learnt from its used steps."""
        known = dict(zip(self.ids, zip(self.centers[:-1], self.spreads[:-1], strict=True), strict=True))
        for group, first, end in zip(series.ids.tolist(), series.bounds[:-1], series.bounds[1:], strict=True):
            if used[first:end].any():
                known[group] = moments(series.steps[first:end][used[first:end]])
        centers, spreads = zip(*known.values(), (self.centers[-1], self.spreads[-1]), strict=True)
        return SeriesScales(list(known), np.array(centers), np.array(spreads), self.by_group)

    def of_steps(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Return center and spread of each step, (n_steps, n_sensors); of all, (n_sensors,), if groups share them."""
        if not self.by_group:
            return self.centers[-1], self.spreads[-1]
        places = {group: place for place, group in enumerate(self.ids)}
        ids = series.ids.tolist()
        if unknown := [group for group in ids if group not in places]:
            warn(f"The groups {unknown} were not in the training set; they get the scale of all groups together.")
        of_group = np.array([places.get(group, len(places)) for group in ids])[series.of_step]
        return self.centers[of_group], self.spreads[of_group]

    def apply(self, series: Series) -> Series:
        """Return the series in these scales."""
        return replace(series, steps=in_scale(series.steps, *self.of_steps(series)))


def in_scale(steps: np.ndarray, center: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Scale steps in float64, so that equal numbers of other types have equal scores."""
    return (steps - center) / spread


def moments(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of sensors; of a constant one, a hundredth of its value, but not 0."""
    statistics = column_statistics(steps)
    return statistics.mean, np.where(statistics.varies, np.sqrt(statistics.variance), statistics.scale)
