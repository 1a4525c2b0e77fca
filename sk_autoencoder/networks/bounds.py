"""What a network is given of samples far outside the training set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Bounds(NamedTuple):
    """Scaled values that enter a network unchanged, and the unit in which others are compressed, (n_features,) each."""

    low: np.ndarray
    high: np.ndarray
    unit: np.ndarray


class InputBounds(nn.Module):
    """Compress cells outside of bounds: ``bound + sign(d) * unit * log(1 + abs(d) / unit)``, d from the bound.

    Only the input of the network is bounded. Targets and residuals are not, so that outliers stay outliers.
    """

    low: Tensor
    high: Tensor
    unit: Tensor

    def __init__(self, bounds: Bounds, dtype: torch.dtype):
        super().__init__()
        for name, values in bounds._asdict().items():
            self.register_buffer(name, torch.tensor(values, dtype=dtype, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Bound scaled rows (..., n_features)."""
        return self._compressed(rows, rows.clamp(self.low, self.high))

    def needed(self, rows: Tensor) -> Tensor:
        """Return the same bits as ``forward``, without a copy if no cell lies outside, where asking is cheap."""
        inside = rows.clamp(self.low, self.high)
        if rows.device.type == "cpu" and torch.equal(inside, rows):
            return rows
        return self._compressed(rows, inside)

    def _compressed(self, rows: Tensor, inside: Tensor) -> Tensor:
        beyond = (rows - inside) / self.unit
        return inside + self.unit * beyond.sign() * beyond.abs().log1p()
