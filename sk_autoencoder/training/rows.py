"""Rows as the engine reads them: scaled batches cut from one array, never one Python call per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor
from torch.utils.data import Dataset

from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.scaling import Affine
from sk_autoencoder.training.devices import free_memory
from sk_autoencoder.training.seeding import epoch_seeds, seeded

# A chunk of mini-batches is gathered, scaled and corrupted at once: small enough for the cache and for bounded memory.
CHUNK_BATCHES = 64
CHUNK_CELLS = 1 << 20
CHUNK_CELLS_ON_CUDA = 1 << 24  # larger, because the host waits for the device once a chunk
# Rows lie on the device while they are trained on if they take no more than this share of its free memory.
RESIDENT_SHARE = 0.5
# Up to this many cells are shuffled freely. More, which may lie on a disk, are shuffled in runs, and single rows only
# within windows of runs. The order depends on the shape alone, never on where the rows lie.
SHUFFLED_CELLS = 1 << 27
RUN_ROWS = 1 << 8
WINDOW_ROWS = 1 << 16


def dense(rows: Any) -> np.ndarray:
    """A block of rows as an array, whether it is one already or sparse."""
    return rows.toarray() if issparse(rows) else rows


class Scaler:
    """Raw rows of any float type to scaled tensors on the network's device and in its type.

    Rows are widened to float64 and scaled there: equal numbers give equal bits whatever their type, and a large offset
    (epoch seconds) costs no digit.
    """

    def __init__(self, affine: Affine, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.width = len(affine.center)
        copies = 1 << max(0, (_FAST_WIDTH // self.width).bit_length() - 1)  # a power of two divides whole blocks
        constants = (np.tile(constant, copies) for constant in (affine.center, 1 / affine.scale))
        self.center, self.factor = (torch.tensor(c, dtype=torch.float64, device=device) for c in constants)

    def __call__(self, rows: np.ndarray | Tensor, out: Tensor | None = None) -> Tensor:
        """Scale rows of any shape (..., n_features) into a new tensor, or into a contiguous one of their shape."""
        if isinstance(rows, np.ndarray):
            rows = _to_device(rows, self.device)
        if out is None:
            out = rows.new_empty(rows.shape, dtype=self.dtype)
        width = len(self.center) if rows.numel() % len(self.center) == 0 else self.width
        scaled = rows.to(torch.float64, copy=True).reshape(-1, width)
        out.view(-1, width).copy_(scaled.sub_(self.center[:width]).mul_(self.factor[:width]))
        return out


# Narrow rows are scaled several at a time, side by side: short runs of cells leave vector registers half empty.
_FAST_WIDTH = 256


def _to_device(rows: np.ndarray, device: torch.device) -> Tensor:
    """Rows as a tensor; copied to a CUDA device from pinned memory, so that the host need not wait."""
    if not (rows.flags.writeable and rows.flags.c_contiguous):  # torch takes no others, or warns
        rows = rows.copy()
    tensor = torch.from_numpy(rows)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def resident(X: Any, device: torch.device) -> Any:
    """Return a dense array as a tensor on its device if there is room for it, and anything else as it is."""
    if issparse(X) or X.nbytes > RESIDENT_SHARE * free_memory(device):
        return X
    rows = torch.empty(X.shape, dtype=torch.from_numpy(X[:0].copy()).dtype, device=device)
    step = max(1, CHUNK_CELLS // X.shape[1])
    for start in range(0, len(X), step):
        rows[start : start + step] = _to_device(X[start : start + step], device)
    return rows


class RowDataset(Dataset):
    """Rows of an array or a sparse matrix, scaled when they are taken.

    ``positions`` chooses rows, the same for all members, (n,), or different ones for each, (n_members, n). ``source``
    is X or a tensor of it on the device, from which rows are taken. ``bounds`` limit what the network is given of them.
    """

    def __init__(
        self,
        X: Any,
        scaler: Scaler,
        positions: np.ndarray | None = None,
        source: Any = None,
        bounds: InputBounds | None = None,
    ):
        self.X, self.scaler, self.positions, self.bounds = X, scaler, positions, bounds
        self.source = X if source is None else source
        self.device = scaler.device

    def __len__(self) -> int:
        return self.X.shape[0] if self.positions is None else self.positions.shape[-1]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One scaled row and no target, as skorch expects of a data set."""
        return self.take(np.array([index]))[0], torch.zeros((), device=self.device)

    def seen(self, rows: Tensor) -> Tensor:
        """Return what the network is given of scaled rows."""
        return rows if self.bounds is None else self.bounds.needed(rows)

    def take(self, index: np.ndarray | slice) -> Tensor:
        """Return the scaled rows of an index of any shape, (*index.shape, n_features)."""
        if self.positions is not None and self.positions.ndim == 1:
            index = self.positions[index]
        elif self.positions is not None and isinstance(index, slice):
            index = self.positions[:, index]
        elif self.positions is not None:
            index = np.take_along_axis(self.positions, np.asarray(index), axis=1)
        if isinstance(index, slice):
            return self.scaler(dense(self.source[index]))
        flat: Any = index.ravel()
        if isinstance(self.source, Tensor):
            flat = _to_device(flat, self.device)
        return self.scaler(dense(self.source[flat])).unflatten(0, index.shape)


def rows_used(n_rows: int, batch_size: int, fewest: int) -> int:
    """Samples of an epoch, without a last mini-batch of less than ``fewest``."""
    left_over = n_rows % batch_size
    return n_rows - left_over if left_over < fewest else n_rows


class TrainingBatches:
    """One epoch of chunks, each a pair (corrupted, clean) of batch-first rows (n, n_members, n_features).

    Iterating again gives the next epoch. Each member has its own row order and its own noise. A last mini-batch of less
    than ``fewest`` samples is left out.
    """

    def __init__(
        self,
        dataset: RowDataset,
        batch_size: int,
        n_members: int,
        seed: int,
        epoch: int,
        corruption: Corruption | None = None,
        single_steps: bool = False,
        fewest: int = 1,
    ):
        self.dataset, self.batch_size, self.n_members = dataset, batch_size, n_members
        self.seed, self.epoch = seed, epoch
        self.corruption, self.single_steps = corruption, single_steps
        self.n_rows = rows_used(len(dataset), batch_size, fewest)
        self.noise: list[torch.Generator] = []  # those of the epoch that runs

    def __len__(self) -> int:
        """Number of mini-batches in an epoch."""
        return -(-self.n_rows // self.batch_size)

    @property
    def chunk_rows(self) -> int:
        """Rows of one chunk: whole mini-batches, at least one."""
        cells = self.batch_size * self.n_members * self.dataset.X.shape[1]
        most = CHUNK_CELLS_ON_CUDA if self.dataset.device.type == "cuda" else CHUNK_CELLS
        return self.batch_size * max(1, min(CHUNK_BATCHES, most // cells))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.epoch += 1
        seeds = epoch_seeds(self.seed, self.epoch, self.n_members)
        self.noise[:] = seeded(seeds[:, 1], self.dataset.device)
        order = self._order(seeds[:, 0])[:, : self.n_rows]
        for start in range(0, order.shape[1], self.chunk_rows):
            clean = self.dataset.take(order[:, start : start + self.chunk_rows])  # (m, r, f)
            noisy = self.dataset.seen(self._corrupt(clean))
            step = self.batch_size if self.single_steps else clean.shape[1]
            for first in range(0, clean.shape[1], step):
                part = slice(first, first + step)
                yield noisy[:, part].transpose(0, 1), clean[:, part].transpose(0, 1)

    def _order(self, seeds: np.ndarray) -> np.ndarray:
        n_rows = len(self.dataset)
        many = n_rows * self.dataset.X.shape[1] > SHUFFLED_CELLS
        shuffled = _window_order if many else _random_order
        return np.stack([shuffled(n_rows, g) for g in seeded(seeds, torch.device("cpu"))])

    def _corrupt(self, clean: Tensor) -> Tensor:
        if self.corruption is None:
            return clean
        return torch.stack([self.corruption(rows, g) for rows, g in zip(clean, self.noise, strict=True)])


def _random_order(n_rows: int, generator: torch.Generator) -> np.ndarray:
    return torch.randperm(n_rows, generator=generator, device="cpu").numpy()


def _window_order(n_rows: int, generator: torch.Generator) -> np.ndarray:
    """Shuffle runs of neighbouring rows, then rows within windows of many runs, so that a disk reads in long runs."""
    starts = _random_order(-(-n_rows // RUN_ROWS), generator) * RUN_ROWS
    order = np.concatenate([np.arange(start, min(start + RUN_ROWS, n_rows)) for start in starts])
    for first in range(0, n_rows, WINDOW_ROWS):
        window = order[first : first + WINDOW_ROWS]
        window[:] = window[_random_order(len(window), generator)]
    return order


class ValidationBatches:
    """The rows of a data set in order and uncorrupted, the same for every member or each member's own."""

    def __init__(self, dataset: RowDataset, n_members: int):
        self.dataset, self.n_members = dataset, n_members

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        step = max(1, CHUNK_CELLS // (self.n_members * self.dataset.X.shape[1]))
        for start in range(0, len(self.dataset), step):
            rows = self.dataset.take(slice(start, start + step))  # (n, f), or (m, n, f)
            rows = rows[:, None].expand(-1, self.n_members, -1) if rows.ndim == 2 else rows.transpose(0, 1)
            yield self.dataset.seen(rows), rows
