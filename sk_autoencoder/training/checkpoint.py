"""Checkpoints: the net's state is written to a file after each epoch, so that training can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from skorch.callbacks import Callback

from sk_autoencoder.training.callbacks import Stopping
from sk_autoencoder.training.files import UNREADABLE, Layout, opened, read_arrays, read_layout, read_notes, write
from sk_autoencoder.training.net import AutoencoderNet
from sk_autoencoder.training.state import load_net_state, net_state

_FILE = "training.npz"
_FORMAT = 5
_ADVICE = "Delete it to train from the start, or name another directory in checkpoint."
# Attributes of the stopping rule that are stored, besides the best weights.
_RULE = ("best_", "stale_", "stopped_")
# Entries of the net's state that are stored in the notes.
_NOTED = ("history", "frozen")


class Checkpoint:
    """A file with the state of a net in training, for one set of parameters and samples.

    The notes of an existing file are checked when the checkpoint is created. ``restore`` reads the arrays, if their
    names, dtypes and shapes are those of the new net.

    Parameters
    ----------
    directory : path-like
        Directory of the file; created if it does not exist.
    identity : dict of str
        Parameters and digests of the samples, by name. A file with a different identity is rejected.
    """

    def __init__(self, directory: Any, identity: dict[str, str]):
        self.path = Path(directory) / _FILE
        self.identity = identity
        self.rule: dict[str, np.ndarray] = {}  # arrays of the stopping rule, filled by ``restore``
        self.notes: dict[str, Any] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.begun = os.path.lexists(self.path)
        if self.begun:
            with self._reading() as archive:
                self._text = read_notes(archive)
                self.notes = _parse(self._text)
                self._check_identity()
                _check_values(self.notes)

    @property
    def seed(self) -> int:
        """Seed of the training in the file."""
        return self.notes["seed"]

    def _check_identity(self) -> None:
        """Raise an error if the file belongs to another training."""
        identity = self.notes.get("identity")
        if not isinstance(identity, dict):
            raise ValueError("its notes have no identity of the training")
        stored = identity | {"format": self.notes.get("format")}
        expected = self.identity | {"format": _FORMAT}
        differing = sorted(name for name in stored.keys() | expected.keys() if stored.get(name) != expected.get(name))
        if differing:
            raise _ForeignError(f"{', '.join(differing)} differ")

    def restore(self, net: AutoencoderNet) -> None:
        """Load the stored state into a new net."""
        expected = {name: (array.dtype, array.shape) for name, array in _filled_arrays(net).items()}
        with self._reading() as archive:
            if read_notes(archive) != self._text:
                raise ValueError("it was replaced in the meantime")
            stored = read_layout(archive)
            if stored != _without_unused(expected, stored):
                raise _ForeignError("names, dtypes or shapes of its arrays differ from those of the new network")
            arrays = read_arrays(archive, list(stored))
        state: dict[str, Any] = {"weights": {}, "optimizer": {}} | {name: self.notes[name] for name in _NOTED}
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "weights":
                state["weights"][rest] = array
            elif kind == "optimizer":
                position, _, slot = rest.partition("/")
                state["optimizer"].setdefault(int(position), {})[slot] = array
            else:
                self.rule[name] = array
        load_net_state(net, state)
        net.epochs_restored_ = len(net.history)

    def save(self, net: AutoencoderNet) -> None:
        """Write the net's state atomically: if the process is killed, the old file is unchanged."""
        arrays, noted = _arrays(net)
        notes = {"format": _FORMAT, "identity": self.identity, "seed": net.plan.seed, **noted}
        try:
            write(self.path, notes, arrays)
        except OSError as error:
            raise OSError(error.errno, f"The checkpoint could not be written ({error})", str(self.path)) from error
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot store net.history ({error}). Let callbacks record numbers, "
                "strings, arrays, and lists or dicts of them."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[ZipFile]:
        """Open the file, and convert all errors to a ValueError that names it."""
        try:
            with opened(self.path) as archive:
                yield archive
        except _ForeignError as error:
            raise ValueError(f"The checkpoint {self.path} belongs to another training: {error}. {_ADVICE}") from error
        except UNREADABLE as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"The checkpoint {self.path} cannot be read ({reason}). {_ADVICE}") from error


class _ForeignError(ValueError):
    """The file is valid, but belongs to another training."""


def _parse(text: str) -> dict[str, Any]:
    try:
        notes = json.loads(text)
    except RecursionError as error:
        raise ValueError("its notes are nested too deeply") from error
    if not isinstance(notes, dict):
        raise ValueError(f"its notes are a {type(notes).__name__}, not a dict")
    return notes


def _check_values(notes: dict[str, Any]) -> None:
    """Raise an error if the seed, the history or the names of frozen weights are invalid."""
    seed, history, frozen = (notes.get(name) for name in ("seed", *_NOTED))
    if type(seed) is not int or not 0 <= seed <= np.iinfo(np.int32).max:
        raise ValueError("its seed is invalid")
    if not isinstance(history, list) or not all(map(_is_epoch, history)):
        raise ValueError("its history is not a list of epochs")
    if not isinstance(frozen, list) or not all(isinstance(name, str) for name in frozen):
        raise ValueError("its frozen weights are not a list of names")


def _is_epoch(epoch: Any) -> bool:
    return isinstance(epoch, dict) and all(
        isinstance(epoch.get(name, 0.0), float) for name in ("train_loss", "valid_loss")
    )


def _arrays(net: AutoencoderNet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the state of a net as in the file: arrays by name, and entries of the notes."""
    state, rule = net_state(net, with_optimizer=True), _stopping(net)
    arrays = {f"weights/{name}": array for name, array in state["weights"].items()}
    for position, slots in state["optimizer"].items():
        arrays |= {f"optimizer/{position}/{key}": value for key, value in slots.items() if value is not None}
    if rule is not None:
        arrays |= {f"stopping/{name}": getattr(rule, name) for name in _RULE}
        arrays |= {f"best/{name}": tensor.cpu().numpy() for name, tensor in rule.weights_.items()}
    return arrays, {name: state[name] for name in _NOTED}


def _filled_arrays(net: AutoencoderNet) -> dict[str, np.ndarray]:
    """Return the arrays that a new net has after an epoch, for comparison of their names, dtypes and shapes.

    This changes the optimizer's state, which is replaced when the stored state is loaded.
    """
    weights = [weight for _, weight in net.get_all_learnable_params()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    net.optimizer_.step()  # the first step creates the optimizer's state
    for weight in weights:
        weight.grad = None
    rule = _stopping(net)
    if rule is not None:
        rule.on_train_begin(net)
        rule.weights_ = net.module_.state_dict()
    return _arrays(net)[0]


def _without_unused(expected: Layout, stored: Layout) -> Layout:
    """Leave out the optimizer's state of weights for which none is stored, because they never had a gradient."""
    used = {_weight_of(name) for name in stored}
    return {name: kind for name, kind in expected.items() if _weight_of(name) in used | {None}}


def _weight_of(name: str) -> str | None:
    """Return the index of the weight that an array of the optimizer belongs to; None for other arrays."""
    kind, _, rest = name.partition("/")
    return rest.partition("/")[0] if kind == "optimizer" else None


class Saving(Callback):
    """Write the checkpoint after each epoch, and restore the stopping rule; must come after it in the callbacks."""

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Restore the stopping rule."""
        rule, arrays = _stopping(net), self.checkpoint.rule
        if rule is not None and arrays:
            for name in _RULE:
                setattr(rule, name, arrays[f"stopping/{name}"])
            best = {name: array for name, array in arrays.items() if name.startswith("best/")}
            rule.weights_ = {
                name.removeprefix("best/"): torch.tensor(array, device=net.device) for name, array in best.items()
            }

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the file."""
        self.checkpoint.save(net)


def attach(checkpoint: Checkpoint, net: AutoencoderNet) -> None:
    """Have a new net written to the checkpoint after each epoch, and restore its state if there is one."""
    net.callbacks_.append(("saving", Saving(checkpoint)))
    if checkpoint.begun:
        checkpoint.restore(net)


def _stopping(net: AutoencoderNet) -> Stopping | None:
    return next((callback for _, callback in net.callbacks_ if isinstance(callback, Stopping)), None)
