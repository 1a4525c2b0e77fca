"""An exponential law for the upper half of some values, learnt where outliers hardly reach."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np

from sk_autoencoder._rounding import rounding

_MEDIAN, _END = 0.5, 0.9


class ExponentialTail(NamedTuple):
    """The share of values beyond x is ``exp(-surprise)``, with ``surprise = base + (x - start) / scale``."""

    start: float
    scale: float
    base: float

    def limit(self, share: float) -> float:
        """Return the value that a share of the values exceeds."""
        return self.start + self.scale * (-log(share) - self.base)


def exponential_tail(values: np.ndarray) -> ExponentialTail:
    """Fit the law between the median and the 90th percentile, which up to a tenth of outliers hardly moves.

    Where values are tied with the smallest, as those of identical samples are, the law is learnt above them: from half
    way between their share and the 90th percentile, if that is above the median.
    """
    lowest = values.min()
    tied = np.mean(values <= lowest + rounding(lowest))
    first = min(max(_MEDIAN, (tied + _END) / 2), (_MEDIAN + 3 * _END) / 4)
    start, end = np.quantile(values, [first, _END])
    return ExponentialTail(float(start), float((end - start) / log((1 - first) / (1 - _END))), -log(1 - first))
