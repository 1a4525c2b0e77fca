"""Data sets and batches of scaled samples, which are read in chunks of many mini-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor
from torch.utils.data import Dataset

from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.networks.base import filled, with_indicators
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.objectives import Batch
from sk_autoencoder.scaling import Affine
from sk_autoencoder.training.devices import free_memory
from sk_autoencoder.training.seeding import epoch_seeds, seeded

# A chunk of mini-batches is gathered, scaled and corrupted at once. These limits bound its memory, and on the CPU let
# it fit in the cache.
CHUNK_BATCHES = 64
CHUNK_CELLS = 1 << 20
CHUNK_CELLS_ON_CUDA = 1 << 24  # larger, because the host synchronizes with the device once per chunk
# X is copied to the device for training if it takes no more than this fraction of the free memory there.
RESIDENT_SHARE = 0.5
# Arrays with at most this many values are shuffled uniformly. Larger ones, which may be memory-mapped, are shuffled in
# two steps: runs of consecutive samples, then samples within windows of several runs. So the order depends only on the
# shape of X, and not on where it is stored.
SHUFFLED_CELLS = 1 << 27
RUN_ROWS = 1 << 8
WINDOW_ROWS = 1 << 16
_LABELLED = 1  # number of the stream of seeds for the order of labelled samples
# Samples with few features are scaled several at a time, because short inner loops do not fill vector registers.
_FAST_WIDTH = 256
# Changes the input of a network, in which missing values are filled; also given is which values are not missing.
Refine = Callable[[Tensor, Tensor], Tensor]


def dense(rows: Any) -> np.ndarray:
    """Convert a sparse matrix to an array, and return arrays unchanged."""
    return rows.toarray() if issparse(rows) else rows


class Scaler:
    """Convert samples to scaled tensors ``(x - center) * (1 / scale)`` on the network's device and in its dtype.

    The formula is computed in float64, and only the result is rounded to the network's dtype. So equal numbers give
    equal bits whatever their dtype, and no digits are lost if the values are large compared with their differences,
    such as Unix times.

    ``center`` and ``factor`` (that is ``1 / scale``) are stored several times one after the other, so that several
    samples of a narrow array can be scaled as one long row.
    """

    def __init__(self, affine: Affine, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.width = len(affine.center)
        # Blocks have a power of two samples, and thus can be divided into groups of ``copies`` samples.
        copies = 1 << max(0, (_FAST_WIDTH // self.width).bit_length() - 1)
        constants = (np.tile(constant, copies) for constant in (affine.center, 1 / affine.scale))
        self.center, self.factor = (torch.tensor(c, dtype=torch.float64, device=device) for c in constants)

    def __call__(self, rows: np.ndarray | Tensor, out: Tensor | None = None) -> Tensor:
        """Scale samples (..., n_features); the result is written to ``out``, a contiguous tensor, if it is given."""
        if isinstance(rows, np.ndarray):
            rows = _to_device(rows, self.device)
        if out is None:
            out = rows.new_empty(rows.shape, dtype=self.dtype)
        # Scale several samples as one row if their number allows it, otherwise one by one.
        width = len(self.center) if rows.numel() % len(self.center) == 0 else self.width
        scaled = rows.to(torch.float64, copy=True).reshape(-1, width)
        scaled.sub_(self.center[:width]).mul_(self.factor[:width])
        out.view(-1, width).copy_(scaled)
        return out


def _to_device(rows: np.ndarray, device: torch.device) -> Tensor:
    """Convert samples to a tensor; the copy to a CUDA device is asynchronous, from pinned memory."""
    if not (rows.flags.writeable and rows.flags.c_contiguous):  # torch rejects other arrays, or warns
        rows = rows.copy()
    tensor = torch.from_numpy(rows)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def resident(X: Any, device: torch.device) -> Any:
    """Copy a dense array to a CUDA device if there is enough free memory; return X unchanged otherwise."""
    if issparse(X) or X.nbytes > RESIDENT_SHARE * free_memory(device):
        return X
    rows = torch.empty(X.shape, dtype=torch.from_numpy(X[:0].copy()).dtype, device=device)
    step = max(1, CHUNK_CELLS // X.shape[1])
    for start in range(0, len(X), step):
        rows[start : start + step] = _to_device(X[start : start + step], device)
    return rows


class RowDataset(Dataset):
    """Samples of an array or a sparse matrix, which are scaled when they are read.

    ``positions`` are row indices in X of the samples in the data set: the same for all members, (n,), or different for
    each, (n_members, n). ``source`` is X, or a copy of it on the device, from which samples are read. ``bounds`` clip
    the input of the network. ``fill`` are the scaled values in place of missing ones, (n_features,); None states that
    X has no missing values. ``weight`` are weights of the rows of X; None are equal weights. ``indicators`` are columns
    with an indicator; then there is a ``fill``. ``labels`` are weights and targets of the rows of X, (len(X),
    n_columns), see ``Supervised``. ``labelled`` are further samples, with labels, for each training step.
    """

    labelled: RowDataset | None = None

    def __init__(
        self,
        X: Any,
        scaler: Scaler,
        positions: np.ndarray | None = None,
        source: Any = None,
        bounds: InputBounds | None = None,
        fill: Tensor | None = None,
        weight: Tensor | None = None,
        indicators: tuple[int, ...] = (),
        labels: Tensor | None = None,
    ):
        self.X, self.scaler, self.positions, self.bounds = X, scaler, positions, bounds
        self.source = X if source is None else source
        self.fill, self.weight, self.indicators, self.labels = fill, weight, indicators, labels
        self.device = scaler.device

    def __len__(self) -> int:
        return self.X.shape[0] if self.positions is None else self.positions.shape[-1]

    def in_two_streams(self) -> RowDataset:
        """Return all samples without labels, and the labelled ones as ``labelled``, if some have no label."""
        if self.labels is None:
            return self
        of_all = np.arange(self.X.shape[0]) if self.positions is None else self.positions
        known = self.labels[:, 0].cpu().numpy()[of_all] > 0
        if known.all():
            return self
        whole, part = copy(self), copy(self)
        part.positions, whole.labels, whole.labelled = of_all[known], None, part
        return whole

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return one scaled sample and a dummy target, as skorch expects."""
        return self.take(np.array([index]))[0], torch.zeros((), device=self.device)

    def batch(
        self,
        index: np.ndarray | slice,
        n_members: int,
        corrupt: Callable[[Tensor], Tensor] | None = None,
        keeps_uncorrupted: bool = False,
        refine: Refine | None = None,
    ) -> Batch:
        """Return the samples of an index, (n_members, n) or the same for all members, with a corrupted input.

        ``refine`` then changes the input of samples with missing values.
        """
        clean = self.take(index)
        clean = clean.expand(n_members, -1, -1)
        noisy = clean if corrupt is None else corrupt(clean)
        observed = None if self.fill is None else ~clean.isnan()
        seen = self._input(noisy, refine)
        uncorrupted = self._input(clean, refine) if keeps_uncorrupted and noisy is not clean else None
        if self.fill is not None:
            clean = filled(clean, self.fill)
        weight, labels = (self._known(values, index, n_members) for values in (self.weight, self.labels))
        return Batch(seen, clean, observed=observed, weight=weight, labels=labels, uncorrupted=uncorrupted)

    def _input(self, rows: Tensor, refine: Refine | None) -> Tensor:
        """Return the input of the network for scaled samples: filled, within the bounds, and with indicators."""
        if self.fill is None:
            return self.seen(rows)
        known = ~rows.isnan()
        inputs = with_indicators(self.seen(filled(rows, self.fill)), known, self.indicators)
        return inputs if refine is None else refine(inputs, known)

    def _known(self, values: Tensor | None, index: np.ndarray | slice, n_members: int) -> Tensor | None:
        """Return what is known of the samples of an index, (n_members, n, ...)."""
        if values is None:
            return None
        return values[self._numbers(index)].expand(n_members, -1, *values.shape[1:])

    def seen(self, rows: Tensor) -> Tensor:
        """Return scaled samples within the bounds of the network's input."""
        return rows if self.bounds is None else self.bounds.needed(rows)

    def take(self, index: np.ndarray | slice) -> Tensor:
        """Return scaled samples (*index.shape, n_features) for an index into the data set, of any shape."""
        numbers = self._numbers(index)
        if isinstance(numbers, slice):
            return self.scaler(dense(self.source[numbers]))
        flat: Any = numbers.ravel()
        if isinstance(self.source, Tensor):
            flat = _to_device(flat, self.device)
        return self.scaler(dense(self.source[flat])).unflatten(0, numbers.shape)

    def _numbers(self, index: np.ndarray | slice) -> Any:
        """Return numbers of rows of X for an index into the data set."""
        if self.positions is None:
            return index
        if self.positions.ndim == 1:
            return self.positions[index]
        if isinstance(index, slice):
            return self.positions[:, index]
        return np.take_along_axis(self.positions, np.asarray(index), axis=1)


def rows_used(n_rows: int, batch_size: int, fewest: int) -> int:
    """Number of samples in an epoch, without a last mini-batch of less than ``fewest`` samples."""
    n_last = n_rows % batch_size
    return n_rows - n_last if n_last < fewest else n_rows


class TrainingBatches:
    """Iterable over the chunks of one epoch, each a ``Batch``.

    Each iteration is a new epoch. Each member has its own random order of samples and its own noise. A last mini-batch
    of less than ``fewest`` samples is left out. With ``single_steps``, mini-batches are yielded instead of chunks.
    If the data set has ``labelled`` samples, each mini-batch comes with as many of them, at most all; they are drawn in
    random orders, one after the other. ``keeps_uncorrupted`` says whether batches have inputs without corruption.
    ``refine`` is that of ``RowDataset.batch``.
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
        keeps_uncorrupted: bool = False,
        refine: Refine | None = None,
    ):
        self.keeps_uncorrupted, self.refine = keeps_uncorrupted, refine
        self.dataset, self.batch_size, self.n_members = dataset, batch_size, n_members
        self.seed, self.epoch = seed, epoch
        has_gaps = dataset.fill is not None
        self.corruption = corruption.with_gaps() if corruption is not None and has_gaps else corruption
        self.single_steps = single_steps
        self.n_rows = rows_used(len(dataset), batch_size, fewest)
        self.noise: list[torch.Generator] = []  # generators of the current epoch, one per member

    def __len__(self) -> int:
        """Return the number of mini-batches in an epoch."""
        return -(-self.n_rows // self.batch_size)

    @property
    def chunk_rows(self) -> int:
        """Number of samples in a chunk: a multiple of the batch size."""
        cells = self.batch_size * self.n_members * self.dataset.X.shape[1]
        most = CHUNK_CELLS_ON_CUDA if self.dataset.device.type == "cuda" else CHUNK_CELLS
        return self.batch_size * max(1, min(CHUNK_BATCHES, most // cells))

    def __iter__(self) -> Iterator[Batch]:
        self.epoch += 1
        seeds = epoch_seeds(self.seed, self.epoch, self.n_members)
        self.noise[:] = seeded(seeds[:, 1], self.dataset.device)
        order = self._order(seeds[:, 0])[:, : self.n_rows]
        labelled = self.dataset.labelled
        further = None if labelled is None else self._further(labelled)
        for start in range(0, order.shape[1], self.chunk_rows):
            chunk = self._batch(self.dataset, order[:, start : start + self.chunk_rows])
            if labelled is not None and further is not None:
                steps = slice(start // self.batch_size, -(-(start + len(chunk)) // self.batch_size))
                own = further[:, steps].reshape(self.n_members, -1)
                chunk = replace(chunk, labelled=self._batch(labelled, own))
            yield from chunk.split(self.batch_size) if self.single_steps else [chunk]

    def _batch(self, dataset: RowDataset, index: np.ndarray) -> Batch:
        return dataset.batch(index, self.n_members, self._corrupt, self.keeps_uncorrupted, self.refine)

    def _further(self, labelled: RowDataset) -> np.ndarray:
        """Draw the labelled samples of each step of the epoch, (n_members, n_steps, n)."""
        size = min(len(labelled), self.batch_size)
        n_drawn = len(self) * size
        seeds = epoch_seeds(self.seed, self.epoch, self.n_members, _LABELLED)[:, 0]
        drawn = [
            np.concatenate([_random_order(len(labelled), own) for _ in range(-(-n_drawn // len(labelled)))])[:n_drawn]
            for own in seeded(seeds, torch.device("cpu"))
        ]
        return np.stack(drawn).reshape(self.n_members, len(self), size)

    def _order(self, seeds: np.ndarray) -> np.ndarray:
        n_rows = len(self.dataset)
        is_large = n_rows * self.dataset.X.shape[1] > SHUFFLED_CELLS
        draw_order = _window_order if is_large else _random_order
        return np.stack([draw_order(n_rows, generator) for generator in seeded(seeds, torch.device("cpu"))])

    def _corrupt(self, clean: Tensor) -> Tensor:
        if self.corruption is None:
            return clean
        return torch.stack([self.corruption(rows, g) for rows, g in zip(clean, self.noise, strict=True)])


def _random_order(n_rows: int, generator: torch.Generator) -> np.ndarray:
    return torch.randperm(n_rows, generator=generator, device="cpu").numpy()


def _window_order(n_rows: int, generator: torch.Generator) -> np.ndarray:
    """Shuffle runs of consecutive samples, then samples within windows of many runs, for sequential reads from disk."""
    starts = _random_order(-(-n_rows // RUN_ROWS), generator) * RUN_ROWS
    order = np.concatenate([np.arange(start, min(start + RUN_ROWS, n_rows)) for start in starts])
    for first in range(0, n_rows, WINDOW_ROWS):
        window = order[first : first + WINDOW_ROWS]
        window[:] = window[_random_order(len(window), generator)]
    return order


class ValidationBatches:
    """Iterable over the uncorrupted samples of a data set in order; each member may have its own samples.

    If all samples fit into one chunk, they are read and scaled once.
    """

    def __init__(self, dataset: RowDataset, n_members: int):
        self.dataset, self.n_members = dataset, n_members
        self._only: Batch | None = None

    def __iter__(self) -> Iterator[Batch]:
        step = max(1, CHUNK_CELLS // (self.n_members * self.dataset.X.shape[1]))
        if len(self.dataset) > step:
            for start in range(0, len(self.dataset), step):
                yield self.dataset.batch(slice(start, start + step), self.n_members)
            return
        if self._only is None:
            self._only = self.dataset.batch(slice(0, step), self.n_members)
        yield self._only
