"""What a network is given of samples far outside the training set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
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
        inside = rows.clamp(self.low, self.high)
        return inside + _grown(rows - inside, self.unit)

    def needed(self, rows: Tensor, in_place: bool = False) -> Tensor:
        """Return the same, but for rounding, without gradients; rows themselves, if no cell lies outside.

        With ``in_place``, contiguous rows may be overwritten, which spares a copy of all for the sake of a few cells.

        On the CPU logarithms take as long as a network, and are computed for cells outside only, which are few as a
        rule. Rows are looked at in pieces that the processor's cache holds.
        """
        if rows.device.type != "cpu":
            return self(rows)
        flat = rows.reshape(-1, rows.shape[-1])
        bounded = flat if in_place else None
        step = max(1, _CELLS_IN_CACHE // rows.shape[-1])
        for start in range(0, len(flat), step):
            piece = flat[start : start + step]
            inside = piece.clamp(self.low, self.high)
            # numpy finds few among many several times faster than torch does.
            places = torch.from_numpy(np.flatnonzero(inside.numpy() != piece.numpy()))
            if len(places):
                bounded = flat.clone() if bounded is None else bounded
                self._bound(bounded[start : start + step], inside, places)
        return rows if bounded is None else bounded.view(rows.shape)

    def _bound(self, rows: Tensor, inside: Tensor, places: Tensor) -> None:
        """Bound cells at some places of (n, n_features), which differ from those inside."""
        cells, bounds = rows.view(-1), inside.view(-1)
        for some in places.split(_CELLS):
            bound = bounds[some]
            pairs = torch.stack([cells[some] - bound, self.unit[some % rows.shape[1]]])
            grown = _grown(*F.pad(pairs, (0, -len(some) % _CELLS), value=1.0))
            cells[some] = bound + grown[: len(some)]


_CELLS_IN_CACHE = 1 << 18
# Logarithms at once: too few for a second thread, and no rest that would take another path than whole vector registers.
_CELLS = 1 << 12


def _grown(beyond: Tensor, unit: Tensor) -> Tensor:
    return unit * beyond.sign() * (beyond / unit).abs().log1p()
