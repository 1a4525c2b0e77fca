"""Evaluation of fitted networks in blocks of one shape, so that a row's bits do not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives import Batch, Evaluation, Objective
from sk_autoencoder.scaling import Affine
from sk_autoencoder.scores import State
from sk_autoencoder.training.rows import RowDataset

# Every call of the network sees exactly this many rows; the last block of an array is filled up with zeros.
BLOCK_ROWS = 256
# Scaled cells are cut here, so that rows beyond every number that was trained on get finite results.
_LARGEST_CELL = 1e15


class Inference:
    """A fitted network with its scaling and, for a detector, its score's state; safe to call from several threads."""

    def __init__(self, network: Autoencoder, affine: Affine, device: torch.device):
        self.network = network.for_inference()
        self.affine, self.device = affine, device
        self.shape = network.shape
        self.state: State = {}
        self._scale = torch.tensor(affine.scale, dtype=torch.float64, device=device)
        self._center = torch.tensor(affine.center, dtype=torch.float64, device=device)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_components) codes."""
        return self._map(self._encode, self._rows(X), len(X), self.shape.n_components, X.dtype)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, n_components) codes -> (n_members, n, n_features) rows in original units."""

        def take(part: slice) -> Tensor:
            return torch.from_numpy(codes[part].copy()).to(self.device, self.shape.torch_dtype)

        return self._map(self._decode, take, len(codes), self.shape.n_features, codes.dtype)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_features) reconstructions in original units."""
        return self._map(self._reconstruct, self._rows(X), len(X), self.shape.n_features, X.dtype)

    def evaluate(self, X: np.ndarray, objective: Objective, loss: Loss) -> Evaluation:
        """Evaluate all rows for all members and keep everything; meant for few rows."""
        with torch.inference_mode():
            blocks = [
                objective(self.network, Batch(rows, rows), loss)[:, :n_rows]
                for rows, n_rows in self._blocks(self._rows(X), len(X))
            ]
        parts = {name: torch.cat([block.parts[name] for block in blocks], dim=1) for name in blocks[0].parts}
        code, reconstruction, target = (
            torch.cat([getattr(block, name) for block in blocks], dim=1)
            for name in ("code", "reconstruction", "target")
        )
        return Evaluation(blocks[0].loss, parts, code, reconstruction, target)

    def score(
        self, X: np.ndarray, objective: Objective, loss: Loss, function: Callable[[Evaluation, State], Tensor]
    ) -> np.ndarray:
        """Average a function of evaluation and score state, (n_members, n, ...), over members: (n, ...) float64."""
        results = []
        with torch.inference_mode():
            for rows, n_rows in self._blocks(self._rows(X), len(X)):
                evaluation = objective(self.network, Batch(rows, rows), loss)
                results.append(function(evaluation, self.state).mean(dim=0)[:n_rows].cpu().numpy())
        return np.concatenate(results)

    def _rows(self, X: np.ndarray) -> Callable[[slice], Tensor]:
        dataset = RowDataset(X, self.affine, self.device, self.shape.torch_dtype)

        def take(part: slice) -> Tensor:
            return dataset.take(part).clamp_(-_LARGEST_CELL, _LARGEST_CELL)

        return take

    def _encode(self, rows: Tensor) -> Tensor:
        return self.network.encode(rows)[..., : self.shape.n_components]

    def _decode(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes).to(torch.float64) * self._scale + self._center

    def _reconstruct(self, rows: Tensor) -> Tensor:
        return self._decode(self._encode(rows))

    def _map(
        self,
        function: Callable[[Tensor], Tensor],
        take: Callable[[slice], Tensor],
        n_rows: int,
        width: int,
        dtype: np.dtype,
    ) -> np.ndarray:
        """Apply a function of (n_members, BLOCK_ROWS, ...) tensors to all rows."""
        results = np.empty((self.shape.n_members, n_rows, width), dtype=dtype)
        start = 0
        with torch.inference_mode():
            for rows, n_block in self._blocks(take, n_rows):
                results[:, start : start + n_block] = function(rows)[:, :n_block].cpu().numpy()
                start += n_block
        return results

    def _blocks(self, take: Callable[[slice], Tensor], n_rows: int) -> Iterator[tuple[Tensor, int]]:
        """Yield (n_members, BLOCK_ROWS, width) blocks and how many of their rows are real."""
        for start in range(0, n_rows, BLOCK_ROWS):
            rows = take(slice(start, start + BLOCK_ROWS))
            block = F.pad(rows, (0, 0, 0, BLOCK_ROWS - rows.shape[0]))
            yield block.expand(self.shape.n_members, -1, -1), rows.shape[0]
