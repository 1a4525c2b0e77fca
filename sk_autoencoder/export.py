"""Plain torch modules that carry a fitted scaling."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """Raw rows to scaled rows, subtracted in float64."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: np.ndarray, scale: np.ndarray, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64, device="cpu"))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Scale."""
        return ((rows.to(torch.float64) - self.center) / self.scale).to(self.dtype)


class Unscale(nn.Module):
    """Scaled rows back to float64 rows in original units."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: np.ndarray, scale: np.ndarray):
        super().__init__()
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64, device="cpu"))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Undo the scaling."""
        return rows.to(torch.float64) * self.scale + self.center


class Mean(nn.Module):
    """The mean of a variational code, without its spread."""

    def __init__(self, n_components: int):
        super().__init__()
        self.n_components = n_components

    def forward(self, encoded: Tensor) -> Tensor:
        """Keep the first columns."""
        return encoded[..., : self.n_components]


def linear(matrix: np.ndarray, bias: np.ndarray, dtype: torch.dtype) -> nn.Linear:
    """Return ``rows @ matrix + bias`` as a module."""
    n_in, n_out = matrix.shape
    module = nn.Linear(n_in, n_out, device="meta", dtype=dtype).to_empty(device="cpu")
    module.load_state_dict({"weight": torch.from_numpy(matrix.T), "bias": torch.from_numpy(bias)})
    return module
