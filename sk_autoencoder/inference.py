"""Evaluation of fitted networks in blocks of one shape, so that a row's bits do not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.scaling import Affine
from sk_autoencoder.training.rows import RowDataset

# Every call of the network sees exactly this many rows; the last block of an array is filled up with zeros.
BLOCK_ROWS = 256


class Inference:
    """A fitted network with its scaling, read-only and safe to call from several threads."""

    def __init__(self, network: Autoencoder, affine: Affine, device: torch.device):
        self.network = network.for_inference()
        self.affine, self.device = affine, device
        self.shape = network.shape
        self._scale = torch.tensor(affine.scale, dtype=torch.float64, device=device)
        self._center = torch.tensor(affine.center, dtype=torch.float64, device=device)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_components) codes."""
        rows = RowDataset(X, self.affine, self.device, self.shape.torch_dtype)
        return self._run(rows.take, self._encode, len(X), self.shape.n_components, X.dtype)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, n_components) codes -> (n_members, n, n_features) rows in original units."""

        def take(part: slice) -> Tensor:
            return torch.from_numpy(codes[part].copy()).to(self.device, self.shape.torch_dtype)

        return self._run(take, self._decode, len(codes), self.shape.n_features, codes.dtype)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_features) reconstructions in original units."""
        rows = RowDataset(X, self.affine, self.device, self.shape.torch_dtype)
        return self._run(rows.take, self._reconstruct, len(X), self.shape.n_features, X.dtype)

    def _encode(self, rows: Tensor) -> Tensor:
        return self.network.encode(rows)[..., : self.shape.n_components]

    def _decode(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes).to(torch.float64) * self._scale + self._center

    def _reconstruct(self, rows: Tensor) -> Tensor:
        return self._decode(self._encode(rows))

    def _run(
        self,
        take: Callable[[slice], Tensor],
        function: Callable[[Tensor], Tensor],
        n_rows: int,
        width: int,
        dtype: np.dtype,
    ) -> np.ndarray:
        """Apply a function of (n_members, BLOCK_ROWS, ...) tensors to all rows, block by block."""
        members = self.shape.n_members
        results = np.empty((members, n_rows, width), dtype=dtype)
        with torch.inference_mode():
            for start in range(0, n_rows, BLOCK_ROWS):
                rows = take(slice(start, start + BLOCK_ROWS))
                block = F.pad(rows, (0, 0, 0, BLOCK_ROWS - rows.shape[0]))
                result = function(block.expand(members, -1, -1))[:, : rows.shape[0]]
                results[:, start : start + BLOCK_ROWS] = result.cpu().numpy()
        return results
