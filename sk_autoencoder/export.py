"""Torch modules for exported networks: scaling, its inverse, and the mean of a latent distribution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sk_autoencoder.networks.base import filled, refined, with_indicators


class Scale(nn.Module):
    """Scale samples in float64, ``(x - center) / scale``, and convert the result to ``dtype``."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: np.ndarray, scale: np.ndarray, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64, device="cpu"))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Return scaled samples."""
        return ((rows.to(torch.float64) - self.center) / self.scale).to(self.dtype)


class Fill(nn.Module):
    """Replace missing values by those of the training."""

    fill: Tensor

    def __init__(self, fill: np.ndarray, dtype: torch.dtype):
        super().__init__()
        self.register_buffer("fill", torch.tensor(fill, dtype=dtype, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Return samples without missing values."""
        return filled(rows, self.fill)


class Indicated(nn.Module):
    """Append indicators of missing values, 1 or 0, to what another module makes of the values."""

    def __init__(self, values: nn.Module, columns: tuple[int, ...]):
        super().__init__()
        self.values, self.columns = values, columns

    def forward(self, rows: Tensor) -> Tensor:
        """Return the input of the network."""
        return with_indicators(self.values(rows), ~rows.isnan(), self.columns)


class Refined(nn.Module):
    """Replace the missing values of a network's input, which are filled, by their reconstruction, several times."""

    def __init__(self, values: nn.Module, network: nn.Module):
        super().__init__()
        self.values, self.network = values, network

    def forward(self, rows: Tensor) -> Tensor:
        """Return the input of the network."""
        return refined(self.network, self.values(rows), ~rows.isnan())


class Unscale(nn.Module):
    """Undo the scaling in float64, ``x * scale + center``."""

    center: Tensor
    scale: Tensor

    def __init__(self, center: np.ndarray, scale: np.ndarray):
        super().__init__()
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64, device="cpu"))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64, device="cpu"))

    def forward(self, rows: Tensor) -> Tensor:
        """Return samples in original units."""
        return rows.to(torch.float64) * self.scale + self.center


class Mean(nn.Module):
    """Select the mean of a latent distribution from the output of a variational encoder."""

    def __init__(self, n_components: int):
        super().__init__()
        self.n_components = n_components

    def forward(self, encoded: Tensor) -> Tensor:
        """Return the first ``n_components`` columns."""
        return encoded[..., : self.n_components]


def linear(matrix: np.ndarray, bias: np.ndarray, dtype: torch.dtype) -> nn.Linear:
    """Return a linear layer that computes ``rows @ matrix + bias``."""
    n_in, n_out = matrix.shape
    module = nn.Linear(n_in, n_out, device="meta", dtype=dtype).to_empty(device="cpu")
    module.load_state_dict({"weight": torch.from_numpy(matrix.T), "bias": torch.from_numpy(bias)})
    return module
