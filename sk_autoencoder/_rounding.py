"""Tolerance within which two numbers count as equal."""

from __future__ import annotations

from typing import Any

# 64 times the machine epsilon of float32. Conversion of a feature to float32, or scaling in float32, changes scaled
# values by less, if the mean of the feature is at most 100 standard deviations.
ROUNDING = 2.0**-17


def rounding(values: Any) -> Any:
    """Return the tolerance for each scaled value, or score, of an array or tensor."""
    return ROUNDING * (1 + abs(values))
