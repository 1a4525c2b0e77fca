"""Evaluation of fitted networks in blocks of one shape, so that a row's bits do not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sk_autoencoder._block_plan import BlockPlan
from sk_autoencoder._threads import ENCODING, SCORING, threads
from sk_autoencoder._validation import own_modes
from sk_autoencoder._warnings import warn
from sk_autoencoder.blocks import cut, joined, mean_of_votes, row_product, rows_of_block
from sk_autoencoder.donors import Filling
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.base import refined, with_indicators
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.objectives import Batch, Evaluation, Objective
from sk_autoencoder.scaling import LARGEST_CELL, Affine
from sk_autoencoder.scores.base import State
from sk_autoencoder.training.rows import Scaler, dense

# Two threads share blocks such that each gets whole vector registers. With more, remainders are computed by another
# kernel: a row's bits would depend on its batch.
_MOST_THREADS = 2
_PASSES = 64  # cost of elementwise work for each cell of samples and layers, in multiplications
_KEPT_MULTIPLE = 2  # samples are kept in multiples of this, since a single row is summed in another order


class Axes(NamedTuple):
    """New axes of a code: ``(code - center) @ turn``, and ``turned @ back + center``."""

    center: np.ndarray  # (n_components,)
    turn: np.ndarray  # (n_components, n_components)
    back: np.ndarray


# Read a part of an array as scaled samples or codes, and say whether there are missing values.
Reader = Callable[[np.ndarray], tuple[Tensor, bool]]


class Blocks(NamedTuple):
    """Scaled samples or codes in blocks of one shape, and how many of them to keep: few of the padding at the end."""

    rows: Tensor  # (n_members * n_blocks, block_rows, width); missing values are filled
    observed: Tensor | None  # which values are not missing, in the shape of ``rows``; None means all
    n_kept: int


class Inference:
    """A fitted network with its scaling and, for a detector, its score's state; safe to call from several threads.

    ``check`` is the estimator's: it is given raw rows in which a scaled cell is huge or no number, and may refuse them.
    ``fill`` replaces missing values of scaled samples; if it ``refines``, the network then replaces them by their
    reconstruction.
    """

    def __init__(
        self,
        network: Autoencoder,
        affine: Affine,
        bounds: InputBounds | None,
        fill: Filling,
        device: torch.device,
        check: Callable[[np.ndarray], None],
    ):
        self.network, self._bounds = _inference_copy(network), bounds
        self.shape, self.device, self._check = network.shape, device, check
        self.state: State = {}
        self._turns: list[tuple[Tensor, ...]] = []
        self._drops = False  # whether the change of axes discards components
        self._scaler = Scaler(affine, device, self.shape.torch_dtype)
        self.fill = fill
        self._scale = torch.tensor(affine.scale, dtype=torch.float64, device=device)
        self._center = torch.tensor(affine.center, dtype=torch.float64, device=device)
        self._on_cpu = device.type == "cpu"
        widths = (self.shape.n_features, *self.shape.hidden_layer_sizes, self.shape.n_components)
        # Time for a sample, in multiplications, without its score.
        self._cost = self.network.n_multiplications + _PASSES * self.shape.n_members * sum(widths)
        # Where there are no such layers, ``widest`` is an estimate.
        self._weights = [layer.weight for layer in self.network.layers() or []]
        batched = self.shape.n_members == 1 and bool(self._weights)
        self._plan = BlockPlan.of(
            device.type, self.shape.n_members, self.shape.n_features, self.network.widest, batched
        )

    def turn_code(self, turns: Iterable[Axes]) -> None:
        """Use new axes for codes in ``encode`` and ``decode``; the changes are applied in their order."""
        to_tensor = partial(torch.tensor, dtype=torch.float64, device=self.device)
        self._turns = [tuple(map(to_tensor, axes)) for axes in turns]
        self._drops = any(not turn.any(dim=0).all() for _, turn, _ in self._turns)

    def encode(self, X: np.ndarray, n_turns: int | None = None, dtype: Any = None) -> np.ndarray:
        """(n, n_features) raw rows -> (n_members, n, n_components) codes, after the first turns (None: all)."""

        def encoded(blocks: Blocks) -> Tensor:
            return self._turned(self._rows(self._code(blocks, in_place=True), blocks), n_turns)

        return self._map(encoded, X, self._scaling_reader(), self.shape.n_components, dtype, network_only=True)

    def decode(self, codes: np.ndarray, n_turns: int | None = None) -> np.ndarray:
        """(n, n_components) codes after the first turns (None: all) -> (n_members, n, n_features) raw rows."""

        def decoded(blocks: Blocks) -> Tensor:
            return self._rows(self._unscaled(self._turned_back(blocks.rows, n_turns)), blocks)

        return self._map(decoded, codes, self._plain, self.shape.n_features)

    def posterior(self, function: Callable[[Autoencoder, Batch], Tensor], X: np.ndarray) -> np.ndarray:
        """Turn the Gaussians of codes: (n_members, n, 2 * n_components) means and standard deviations side by side.

        ``function`` of (network, batch) gives them on the network's own axes, where entries are independent.
        """

        def turned(blocks: Blocks) -> Tensor:
            both = self._rows(function(self.network, self._batch(blocks)), blocks)
            mean, std = both.chunk(2, dim=-1)
            if self._turns:
                matrix = reduce(torch.matmul, (turn for _, turn, _ in self._turns))
                std = row_product(std.double().square(), matrix.square()[None]).sqrt()
            return torch.cat([self._turned(mean), std], dim=-1)

        return self._map(turned, X, self._scaling_reader(), 2 * self.shape.n_components)

    def reconstruct(self, X: np.ndarray, voters: np.ndarray | None = None) -> np.ndarray:
        """(n, n_features) raw rows -> (n, n_features) reconstructions in original units, the voters' mean."""
        results = np.empty(X.shape, dtype=X.dtype)
        for rows, found in self._votes(self._reconstructed, X, voters):
            results[rows] = found.cpu().numpy()
        return results

    def squared_errors(self, X: np.ndarray, voters: np.ndarray | None = None) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield parts of raw rows, or their numbers, and the squared errors of reconstruction, (n, n_features)."""
        for rows, found in self._votes(self._reconstructed, X, voters):
            difference = dense(X[rows]).astype(np.float64) - found.cpu().numpy()
            yield rows, np.square(difference, out=difference)

    def apply(
        self, function: Callable[[Autoencoder, Batch], Tensor], X: np.ndarray, width: int, dtype: Any = None
    ) -> np.ndarray:
        """Map a function of (network, batch) that gives ``width`` numbers for each row: (n_members, n, width)."""

        def applied(blocks: Blocks) -> Tensor:
            return self._rows(function(self.network, self._batch(blocks)), blocks)

        return self._map(applied, X, self._scaling_reader(), width, dtype)

    def evaluate(self, X: Any, index: np.ndarray, objective: Objective | None, loss: Loss) -> Evaluation:
        """Evaluate other rows for each member, index (n_members, n), and keep everything; meant for few rows.

        Without an objective, the evaluation has no terms.
        """

        def whole(blocks: Blocks) -> Evaluation:
            return self._evaluate(blocks, objective, loss)

        pieces = [piece[:, : _size(part)] for part, piece in self._stream(whole, index.T, self._gathering_reader(X))]
        return Evaluation.concatenate(pieces, dim=1)

    def score(
        self,
        X: np.ndarray,
        objective: Objective | None,
        loss: Loss,
        votes: Callable[[Evaluation, State], Tensor],
        combine: Callable[[Tensor], Tensor],
        uses_references: bool,
        voters: np.ndarray | None = None,
    ) -> np.ndarray:
        """Average votes over the members that vote on a row, and combine them: (n, ...) float64.

        ``votes`` takes an evaluation, (n_members, n, ...), and the state, and gives NaN where a member abstains; if it
        compares with references, it takes fewer rows at once. ``combine`` takes the mean over members, (n, ...).
        ``voters`` (n_members, n) says which members vote on which row; None, and no voter, stand for all. Without an
        objective, evaluations have no terms, and more rows go through the network.
        """
        step = self._plan.rows() if uses_references else self._plan.rows_scored

        def judged(blocks: Blocks) -> Tensor:
            pieces = self._evaluate(blocks, objective, loss).split(step)
            return torch.cat([votes(piece, self.state) for piece in pieces], dim=1)

        results: np.ndarray | None = None
        for rows, found in self._votes(judged, X, voters, combine, network_only=objective is None):
            combined = found.cpu().numpy()
            if results is None:
                results = np.empty((X.shape[0], *combined.shape[1:]))
            results[rows] = combined
        assert results is not None  # there is at least one row
        return results

    def _votes(
        self,
        function: Callable[[Blocks], Tensor],
        X: np.ndarray,
        voters: np.ndarray | None,
        combine: Callable[[Tensor], Tensor] = lambda mean: mean,
        network_only: bool = False,
    ) -> Iterator[tuple[Any, Tensor]]:
        """Yield parts of X, or row numbers, and what ``combine`` makes of the mean over the members that vote on them.

        The function maps blocks to (n_members, n, ...). Where few members vote, each is given its own rows.
        """
        if voters is None:
            averaged = self._stream(
                lambda blocks: combine(mean_of_votes(function(blocks))), X, self._scaling_reader(), network_only
            )
            for part, mean in averaged:
                yield part, mean[: _size(part)]
            return
        judged = np.any(voters, axis=0)
        if (others := np.flatnonzero(~judged)).size:
            for part, mean in self._votes(function, X[others], None, combine, network_only):
                yield others[part], mean
        chosen = np.flatnonzero(judged)
        step = self._plan.rows() * self.shape.n_members
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            yield rows, combine(self._mean_of_voters(function, X, rows, voters[:, rows]))

    def _mean_of_voters(
        self, function: Callable[[Blocks], Tensor], X: np.ndarray, rows: np.ndarray, voters: np.ndarray
    ) -> Tensor:
        """Mean of a function of blocks over those members that vote on each of some rows, (n_rows, ...)."""
        places = [np.flatnonzero(voting) for voting in voters]
        index = np.stack([np.resize(own if own.size else [0], max(map(len, places))) for own in places])
        pieces = [
            piece[:, : _size(part)] for part, piece in self._stream(function, rows[index].T, self._gathering_reader(X))
        ]
        found = torch.cat(pieces, dim=1)
        with torch.inference_mode():
            votes = found.new_full((len(voters), len(rows), *found.shape[2:]), torch.nan)
            for own, values, member in zip(places, found, votes, strict=True):
                member[torch.from_numpy(own).to(self.device)] = values[: len(own)]
            return mean_of_votes(votes)

    def _gathering_reader(self, X: np.ndarray) -> Reader:
        """Return what takes numbers of rows, (n, n_members), and scales the rows."""

        def read(numbers: np.ndarray) -> tuple[Tensor, bool]:
            rows = dense(X[numbers.ravel()])
            scaled, has_gaps = self._scale_into(rows, self._empty(len(rows)))
            return scaled.unflatten(0, numbers.shape), has_gaps

        return read

    def _evaluate(self, blocks: Blocks, objective: Objective | None, loss: Loss) -> Evaluation:
        if objective is None:
            code = self._code(blocks)
            evaluation = Evaluation.without_terms(code, self.network.decode(code), blocks.rows)
        elif objective.uses_gradients:
            with torch.inference_mode(False), torch.enable_grad():
                batch = self._batch(blocks).map(Tensor.clone)  # gradients cannot flow through inference tensors
                evaluation = objective(self.network, batch, loss).map(Tensor.detach)
        else:
            evaluation = objective(self.network, self._batch(blocks), loss)
        evaluation = replace(evaluation, observed=blocks.observed)
        return evaluation.map(lambda tensor: self._rows(tensor, blocks))

    def _scaling_reader(self) -> Reader:
        """Return a function that scales parts of an array into one buffer: new memory takes longer than the scaling.

        Each part overwrites the one before; callers that keep parts use ``_gathering_reader``.
        """
        buffers: list[Tensor] = []

        def read(rows: np.ndarray) -> tuple[Tensor, bool]:
            if not buffers:  # the first part is the largest
                buffers.append(self._empty(len(rows)))
            return self._scale_into(rows, buffers[0][: len(rows)])

        return read

    def _empty(self, n_rows: int) -> Tensor:
        return torch.empty(n_rows, self.shape.n_features, dtype=self.shape.torch_dtype, device=self.device)

    def _scale_into(self, X: np.ndarray, result: Tensor) -> tuple[Tensor, bool]:
        """Scale rows, in pieces that stay in the processor's cache, and have those with odd cells checked.

        Returns the result, and whether it has missing values.
        """
        has_gaps = False
        step = self._plan.rows_scaled * torch.get_num_threads() if self._on_cpu else len(X)
        for start in range(0, len(X), step):
            rows = X[start : start + step]
            cells = self._scaler(rows, out=result[start : start + step]).view(-1)
            squares = cells.dot(cells)
            all_ordinary = squares < LARGEST_CELL**2 / 2  # False for NaN; half, for rounding of the sum
            if not all_ordinary:
                self._check(rows)
                cells.clamp_(-LARGEST_CELL, LARGEST_CELL)  # finite results for samples beyond what float32 holds
                has_gaps = has_gaps or bool(cells.isnan().any())
        return result, has_gaps

    def _plain(self, codes: np.ndarray) -> tuple[Tensor, bool]:
        return torch.from_numpy(codes.copy()).to(self.device, self.shape.torch_dtype), False

    def _seen(self, blocks: Blocks, in_place: bool = False) -> Tensor:
        rows = blocks.rows if self._bounds is None else self._bounds.needed(blocks.rows, in_place)
        rows = with_indicators(rows, blocks.observed, self.shape.indicators)
        if blocks.observed is None or not self.fill.refines:
            return rows
        with torch.no_grad():
            return refined(self.network, rows, blocks.observed)

    def _batch(self, blocks: Blocks) -> Batch:
        return Batch(self._seen(blocks), blocks.rows, observed=blocks.observed)

    def _code(self, blocks: Blocks, in_place: bool = False) -> Tensor:
        return self.network.encode(self._seen(blocks, in_place))[..., : self.shape.n_components]

    def _turned(self, codes: Tensor, n_turns: int | None = None) -> Tensor:
        """Bring (n_members, n, n_components) codes of the network onto new axes."""
        for center, turn, _ in self._turns[:n_turns]:
            codes = row_product(codes.double() - center, turn.expand(len(codes), -1, -1))
        return codes

    def _turned_back(self, blocks: Tensor, n_turns: int | None) -> Tensor:
        """Bring blocks of codes onto the network's own axes."""
        codes = blocks
        for center, _, back in reversed(self._turns[:n_turns]):
            codes = row_product(codes.double().flatten(0, 1)[None], back[None]).add(center).view(blocks.shape)
        return codes.to(self.shape.torch_dtype)

    def _unscaled(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes).to(torch.float64) * self._scale + self._center

    def _reconstructed(self, blocks: Blocks) -> Tensor:
        code = self._code(blocks)
        if self._drops:
            turned = self._turned(code.flatten(0, 1)[None]).view(code.shape)
            code = self._turned_back(turned, None)
        return self._rows(self._unscaled(code), blocks)

    def _map(
        self,
        function: Callable[[Blocks], Tensor],
        X: np.ndarray,
        read: Reader,
        width: int,
        dtype: Any = None,
        network_only: bool = False,
    ) -> np.ndarray:
        """Collect a function of blocks as (n_members, n, width); None is the type of X."""
        results = np.empty((self.shape.n_members, X.shape[0], width), dtype=dtype or X.dtype)
        written = torch.from_numpy(results)  # torch copies with all threads
        for part, found in self._stream(function, X, read, network_only):
            written[:, part] = found[:, : _size(part)]
        return results

    def _stream(
        self,
        function: Callable[[Blocks], Any],
        X: np.ndarray,
        read: Reader,
        network_only: bool = False,
    ) -> Iterator[tuple[slice, Any]]:
        """Yield consecutive parts of X and what a function makes of their blocks; the last samples may be padding.

        With ``network_only``, the function runs the network alone, without objective and references, and more blocks
        may go at once.
        """
        start = 0
        while start < X.shape[0]:
            part, result = self._next_part(function, X, start, read, network_only)
            yield part, result
            start = part.stop

    def _next_part(
        self,
        function: Callable[[Blocks], Any],
        X: np.ndarray,
        start: int,
        read: Reader,
        network_only: bool,
    ) -> tuple[slice, Any]:
        """Apply a function to as many of the next samples as the plan and the memory of the device allow."""
        was_full = False
        while True:
            part = slice(start, min(X.shape[0], start + self._plan.rows(network_only)))
            try:
                with own_modes(), torch.inference_mode(), self._threads(X.shape[0]):
                    n_kept = (
                        _size(part) + _size(part) % _KEPT_MULTIPLE if self._on_cpu else self._plan.rows(network_only)
                    )
                    result = function(self._blocks(*read(dense(X[part])), n_kept, network_only))
            except torch.OutOfMemoryError:
                if not self._plan.halve():
                    raise
                was_full = True
            else:
                if was_full:
                    self._warn(self._plan.blocks(network_only))
                return part, result

    def _threads(self, n_rows: int) -> AbstractContextManager[Any]:
        """Take as many threads as pay: every number of the network and of the score's state is used for each row."""
        compared = sum(tensor.numel() for tensor in self.state.values())
        return threads(
            n_rows * (self._cost + compared), SCORING if compared else ENCODING, _MOST_THREADS if self._on_cpu else None
        )

    def _blocks(self, rows: Tensor, has_gaps: bool, n_kept: int, network_only: bool) -> Blocks:
        """Cut (n, width), or (n, n_members, width), into blocks, and fill missing values."""
        rows = rows[None] if rows.ndim == 2 else rows.transpose(0, 1)
        fewest = 1 if self._on_cpu else self._plan.n_blocks
        few = network_only and self._on_cpu and self._weights
        block_rows = rows_of_block(rows.shape[1], self._weights) if few else self._plan.block_rows
        of_blocks = partial(cut, n_members=self.shape.n_members, block_rows=block_rows, fewest=fewest)
        if not has_gaps:
            return Blocks(of_blocks(rows), None, n_kept)
        return Blocks(of_blocks(self.fill(rows)), of_blocks(~rows.isnan()), n_kept)

    def _rows(self, results: Tensor, blocks: Blocks) -> Tensor:
        """(n_members * n_blocks, block_rows, ...) -> (n_members, n_kept, ...)."""
        return joined(results, self.shape.n_members)[:, : blocks.n_kept]

    def _warn(self, n_blocks: int) -> None:
        warn(
            f"The memory of {self.device} was full; samples now go through the network in blocks of "
            f"{self._plan.block_rows}, {n_blocks} at once. Their last bits may differ from those of earlier calls.",
        )


def _inference_copy(network: Autoencoder) -> Autoencoder:
    """Return the network's copy for inference, with the weights that an objective has registered on the network."""
    result = network.for_inference()
    for name, weight in network.named_parameters(recurse=False):
        if not hasattr(result, name):
            result.register_parameter(name, torch.nn.Parameter(weight.detach(), requires_grad=False))
    return result


def _size(part: slice) -> int:
    return part.stop - part.start
