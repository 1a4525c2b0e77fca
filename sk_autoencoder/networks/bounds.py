"""Compression of input values far outside the range of the training set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bounds(NamedTuple):
    """Interval of scaled values that are not changed, and the unit of the compression, (n_features,) each."""

    low: np.ndarray
    high: np.ndarray
    unit: np.ndarray


class InputBounds(nn.Module):
    """Compress values outside the bounds: ``bound + sign(d) * unit * log(1 + abs(d) / unit)``, with d = value - bound.

    Only the input of the network is compressed, not targets and residuals, so that outliers keep high outlier scores.
    """

    low: Tensor
    high: Tensor
    unit: Tensor

    def __init__(self, bounds: Bounds, dtype: torch.dtype):
        super().__init__()
        for name, values in bounds._asdict().items():
            self.register_buffer(name, torch.tensor(values, dtype=dtype, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Compress scaled samples, (..., n_features)."""
        inside = rows.clamp(self.low, self.high)
        return inside + _grown(rows - inside, self.unit)

    def needed(self, rows: Tensor, in_place: bool = False) -> Tensor:
        """Compute the same as ``forward`` up to rounding, without gradients; return ``rows`` if all are within bounds.

        With ``in_place``, contiguous rows may be overwritten, to avoid a copy.

        On the CPU, logarithms take as long as a network. They are computed only for the values out of bounds, which are
        usually few, in blocks of rows that fit into the cache.
        """
        if rows.device.type != "cpu":
            return self(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        bounded = flat if in_place else None
        step = max(_SIDE_BY_SIDE, _CELLS_IN_CACHE // rows.shape[-1] // _SIDE_BY_SIDE * _SIDE_BY_SIDE)
        for start in range(0, len(flat), step):
            piece = flat[start : start + step]
            inside = self._clamped(piece)
            # If few elements are nonzero, this is several times faster in numpy than in torch.
            places = torch.from_numpy(np.flatnonzero(inside.numpy() != piece.numpy()))
            if len(places):
                bounded = flat.clone() if bounded is None else bounded
                self._bound(bounded[start : start + step], inside, places)
        return rows if bounded is None else bounded.view(rows.shape)

    def _clamped(self, rows: Tensor) -> Tensor:
        """Clamp rows (n, n_features), several narrow ones as one long row, which fills vector registers."""
        copies = _SIDE_BY_SIDE if rows.shape[1] < _SIDE_BY_SIDE and len(rows) % _SIDE_BY_SIDE == 0 else 1
        low, high = (bound.repeat(copies) for bound in (self.low, self.high))
        return rows.view(-1, len(low)).clamp(low, high).view(rows.shape)

    def _bound(self, rows: Tensor, inside: Tensor, places: Tensor) -> None:
        """Compress the values of ``rows`` (n, n_features) at flat indices ``places``; ``inside`` are clamped rows."""
        cells, bounds = rows.view(-1), inside.view(-1)
        for some in places.split(_CELLS):
            bound = bounds[some]
            pairs = torch.stack([cells[some] - bound, self.unit[some % rows.shape[1]]])
            grown = _grown(*F.pad(pairs, (0, -len(some) % _CELLS), value=1.0))
            cells[some] = bound + grown[: len(some)]


_CELLS_IN_CACHE = 1 << 18
_SIDE_BY_SIDE = 32  # narrow rows that fill vector registers together
# Logarithms per call: they are computed by one thread and fill whole vector registers, so that bits are reproducible.
_CELLS = 1 << 12


def _grown(beyond: Tensor, unit: Tensor) -> Tensor:
    return unit * beyond.sign() * (beyond / unit).abs().log1p()
