"""How far apart equal numbers can come to lie by rounding."""

from __future__ import annotations

from typing import Any

# 64 steps of float32. Reading a column as float32 moves its scaled values by less, if its mean is at most a hundred
# standard deviations; so does a scaler that computes in float32.
ROUNDING = 2.0**-17


def rounding(values: Any) -> Any:
    """Return the distance within which scaled values, or scores, of an array or tensor count as equal."""
    return ROUNDING * (1 + abs(values))
