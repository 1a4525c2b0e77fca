"""Evaluation of fitted networks in blocks of one shape, so that a row's bits do not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives import Batch, Evaluation, Objective
from sk_autoencoder.scaling import Affine
from sk_autoencoder.scores import State, row_product
from sk_autoencoder.training.rows import Scaler

# The network sees rows in blocks of exactly this many; the last block of an array is filled up with zeros. Several
# blocks go through it side by side, each in a matrix product of its own, so their number changes no bit either.
BLOCK_ROWS = 128
_CELLS_AT_ONCE = 1 << 19
# Scaled cells are cut here, so that rows beyond all that float32 holds get finite results; NaN is no outlier.
_LARGEST_CELL = 1e15


class Axes(NamedTuple):
    """New axes of a code: ``(code - center) @ turn``, and ``turned @ back + center``."""

    center: np.ndarray  # (n_components,)
    turn: np.ndarray  # (n_components, n_components)
    back: np.ndarray


class Inference:
    """A fitted network with its scaling and, for a detector, its score's state; safe to call from several threads."""

    def __init__(self, network: Autoencoder, affine: Affine, device: torch.device):
        self.network = network.for_inference()
        self.shape, self.device = network.shape, device
        self.state: State = {}
        self._axes: tuple[Tensor, ...] | None = None
        self._scalers = {
            kind: Scaler(affine, np.dtype(kind), device, self.shape.torch_dtype) for kind in (np.float32, np.float64)
        }
        self._scale = torch.tensor(affine.scale, dtype=torch.float64, device=device)
        self._center = torch.tensor(affine.center, dtype=torch.float64, device=device)

    def turn_code(self, axes: Axes) -> None:
        """Give codes, and take them, on new axes."""
        self._axes = tuple(torch.tensor(array, dtype=torch.float64, device=self.device) for array in axes)

    def encode(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_components) codes."""
        return self._map(self._encode, X, self._scaled, self.shape.n_components)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """(n, n_components) codes -> (n_members, n, n_features) rows in original units."""
        return self._map(self._decode, codes, self._plain, self.shape.n_features)

    def reconstruct(self, X: np.ndarray) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_features) reconstructions in original units."""
        return self._map(self._reconstruct, X, self._scaled, self.shape.n_features)

    def apply(
        self, function: Callable[[Autoencoder, Tensor], Tensor], X: np.ndarray, width: int, dtype: Any = None
    ) -> np.ndarray:
        """Map a function of (network, scaled rows) that gives ``width`` numbers for each row: (n_members, n, width)."""
        return self._map(partial(function, self.network), X, self._scaled, width, dtype)

    def evaluate(self, X: np.ndarray, objective: Objective, loss: Loss) -> Evaluation:
        """Evaluate all rows for all members, (n_members, n, ...), and keep everything; meant for few rows."""
        with torch.inference_mode():
            pieces = [
                self._evaluate(rows, objective, loss).map(lambda tensor: tensor.transpose(0, 1).flatten(1, 2))[
                    :, :n_rows
                ]
                for rows, n_rows in self._blocks(X, self._scaled)
            ]
        return Evaluation.concatenate(pieces, dim=1)

    def score(
        self, X: np.ndarray, objective: Objective, loss: Loss, function: Callable[[Evaluation, State], Tensor]
    ) -> np.ndarray:
        """Average a score function over members: (n, ...) float64.

        The function takes an evaluation, (n_blocks, n_members, BLOCK_ROWS, ...), and the state, (n_members, ...).
        """
        results = []
        with torch.inference_mode():
            for rows, n_rows in self._blocks(X, self._scaled):
                scores = function(self._evaluate(rows, objective, loss), self.state)
                results.append(scores.mean(dim=1).flatten(0, 1)[:n_rows].cpu().numpy())
        return np.concatenate(results)

    def _evaluate(self, rows: Tensor, objective: Objective, loss: Loss) -> Evaluation:
        evaluation = objective(self.network, Batch(rows, rows), loss)
        return evaluation.map(lambda tensor: tensor.unflatten(0, (-1, self.shape.n_members)))

    def _scaled(self, X: np.ndarray) -> Tensor:
        return self._scalers[X.dtype.type](X).clamp_(-_LARGEST_CELL, _LARGEST_CELL)

    def _plain(self, codes: np.ndarray) -> Tensor:
        return torch.from_numpy(codes.copy()).to(self.device, self.shape.torch_dtype)

    def _encode(self, rows: Tensor) -> Tensor:
        codes = self.network.encode(rows)[..., : self.shape.n_components]
        if self._axes is None:
            return codes
        center, turn, _ = self._axes
        return row_product(codes.double() - center, turn.expand(len(codes), -1, -1))

    def _decode(self, codes: Tensor) -> Tensor:
        if self._axes is not None:
            center, _, back = self._axes
            codes = row_product(codes.double(), back.expand(len(codes), -1, -1)).add(center).to(codes.dtype)
        return self._unscaled(codes)

    def _unscaled(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes).to(torch.float64) * self._scale + self._center

    def _reconstruct(self, rows: Tensor) -> Tensor:
        return self._unscaled(self.network.encode(rows)[..., : self.shape.n_components])

    def _map(
        self,
        function: Callable[[Tensor], Tensor],
        X: np.ndarray,
        take: Callable[[np.ndarray], Tensor],
        width: int,
        dtype: Any = None,
    ) -> np.ndarray:
        """Apply a function of (n_blocks * n_members, BLOCK_ROWS, ...) tensors to all rows; None is the type of X."""
        members = self.shape.n_members
        results = np.empty((members, len(X), width), dtype=dtype or X.dtype)
        start = 0
        with torch.inference_mode():
            for rows, n_rows in self._blocks(X, take):
                blocks = function(rows).unflatten(0, (-1, members)).transpose(0, 1)  # (m, b, BLOCK_ROWS, width)
                results[:, start : start + n_rows] = blocks.flatten(1, 2)[:, :n_rows].cpu().numpy()
                start += n_rows
        return results

    def _blocks(self, X: np.ndarray, take: Callable[[np.ndarray], Tensor]) -> Iterator[tuple[Tensor, int]]:
        """Yield (n_blocks * n_members, BLOCK_ROWS, width) tensors and how many of their rows are real."""
        members = self.shape.n_members
        widest = max(self.shape.n_features, *self.shape.hidden_layer_sizes, self.shape.n_components)
        step = BLOCK_ROWS * max(1, _CELLS_AT_ONCE // (BLOCK_ROWS * members * widest))
        for start in range(0, len(X), step):
            rows = take(X[start : start + step])
            n_rows = len(rows)
            if n_rows % BLOCK_ROWS:
                rows = F.pad(rows, (0, 0, 0, -n_rows % BLOCK_ROWS))
            yield rows.unflatten(0, (-1, 1, BLOCK_ROWS)).expand(-1, members, -1, -1).flatten(0, 1), n_rows
