"""Training that survives its process: the net's state in one file, written after each epoch."""

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
_FORMAT = 3
_ADVICE = "Delete it to train from the start, or name another directory in checkpoint."
# What the stopping rule knows, besides the best weights.
_RULE = ("threshold_", "best_", "stale_", "stopped_")
# What the notes hold of a net's state.
_NOTED = ("history", "frozen")


class Checkpoint:
    """A file that holds a net in training, for one set of parameters and samples.

    The file is judged by its notes when the checkpoint is made. Its arrays are read by ``restore``, after their names,
    types and shapes were found to be those of the new net.

    Parameters
    ----------
    directory : path-like
        Where the file lies; made if it does not exist.
    identity : dict of str
        What the training depends on, by name. A file of another training is refused.
    """

    def __init__(self, directory: Any, identity: dict[str, str]):
        self.path = Path(directory) / _FILE
        self.identity = identity
        self.rule: dict[str, np.ndarray] = {}  # the stopping rule's arrays, once restored
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
        """The seed of the training that the file holds."""
        return self.notes["seed"]

    def _check_identity(self) -> None:
        """Raise for the file of another training."""
        identity = self.notes.get("identity")
        if not isinstance(identity, dict):
            raise ValueError("its notes do not say what the training depends on")
        found = identity | {"format": self.notes.get("format")}
        expected = self.identity | {"format": _FORMAT}
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if differing:
            raise _ForeignError(f"{', '.join(differing)} differ")

    def restore(self, net: AutoencoderNet) -> None:
        """Bring a new net to where the file's net was."""
        expected = {name: (array.dtype, array.shape) for name, array in _filled_arrays(net).items()}
        with self._reading() as archive:
            if read_notes(archive) != self._text:
                raise ValueError("it was replaced meanwhile")
            stored = read_layout(archive)
            if stored != _without_unused(expected, stored):
                raise _ForeignError("names, types or shapes of its arrays differ from those of the new network")
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
        net.epochs_done_ = len(net.history)

    def save(self, net: AutoencoderNet) -> None:
        """Replace the file by the net's present state; a process killed meanwhile leaves the old file."""
        arrays, noted = _arrays(net)
        notes = {"format": _FORMAT, "identity": self.identity, "seed": net.plan.seed, **noted}
        try:
            write(self.path, notes, arrays)
        except OSError as error:
            raise OSError(error.errno, f"The checkpoint could not be written ({error})", str(self.path)) from error
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot hold net.history ({error}). Let callbacks record numbers, texts, "
                "arrays, and lists or dicts of them."
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[ZipFile]:
        """Open the file, and give every error that it can cause the same form."""
        try:
            with opened(self.path) as archive:
                yield archive
        except _ForeignError as error:
            raise ValueError(f"The checkpoint {self.path} belongs to another training: {error}. {_ADVICE}") from error
        except UNREADABLE as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"The checkpoint {self.path} cannot be read ({reason}). {_ADVICE}") from error


class _ForeignError(ValueError):
    """A sound file of another training."""


def _parse(text: str) -> dict[str, Any]:
    try:
        notes = json.loads(text)
    except RecursionError as error:
        raise ValueError("its notes are nested too deeply") from error
    if not isinstance(notes, dict):
        raise ValueError(f"its notes are a {type(notes).__name__}, no dict")
    return notes


def _check_values(notes: dict[str, Any]) -> None:
    """Raise for a seed, a history or names of frozen weights that no training could have written."""
    seed, history, frozen = (notes.get(name) for name in ("seed", *_NOTED))
    if type(seed) is not int or not 0 <= seed <= np.iinfo(np.int32).max:
        raise ValueError("its seed is no seed")
    if not isinstance(history, list) or not all(map(_is_epoch, history)):
        raise ValueError("its history is no list of epochs")
    if not isinstance(frozen, list) or not all(isinstance(name, str) for name in frozen):
        raise ValueError("its frozen weights are no list of names")


def _is_epoch(epoch: Any) -> bool:
    return isinstance(epoch, dict) and all(
        isinstance(epoch.get(name, 0.0), float) for name in ("train_loss", "valid_loss")
    )


def _arrays(net: AutoencoderNet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return everything that the file holds of a net: named arrays, and what the notes say of it."""
    state, rule = net_state(net, with_optimizer=True), _stopping(net)
    arrays = {f"weights/{name}": array for name, array in state["weights"].items()}
    for position, slots in state["optimizer"].items():
        arrays |= {f"optimizer/{position}/{key}": value for key, value in slots.items() if value is not None}
    if rule is not None:
        arrays |= {f"stopping/{name}": getattr(rule, name) for name in _RULE}
        arrays |= {f"best/{name}": tensor.cpu().numpy() for name, tensor in rule.weights_.items()}
    return arrays, {name: state[name] for name in _NOTED}


def _filled_arrays(net: AutoencoderNet) -> dict[str, np.ndarray]:
    """Return the arrays of a new net as they look after an epoch; the file's state replaces what this changes."""
    weights = [weight for _, weight in net.get_all_learnable_params()]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    net.optimizer_.step()  # after its first step an optimizer has all its slots
    for weight in weights:
        weight.grad = None
    rule = _stopping(net)
    if rule is not None:
        rule.on_train_begin(net)
        rule.weights_ = net.module_.state_dict() if rule.restore else {}
    return _arrays(net)[0]


def _without_unused(expected: Layout, stored: Layout) -> Layout:
    """Leave out the optimizer's slots of weights for which none are stored, because no sample ever used them."""
    used = {_weight_of(name) for name in stored}
    return {name: kind for name, kind in expected.items() if _weight_of(name) in used | {None}}


def _weight_of(name: str) -> str | None:
    """Return the number of the weight to which an optimizer's slot belongs."""
    kind, _, rest = name.partition("/")
    return rest.partition("/")[0] if kind == "optimizer" else None


class Saving(Callback):
    """Write the checkpoint after each epoch, and let the stopping rule go on where it was. Comes after that rule."""

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


def _stopping(net: AutoencoderNet) -> Stopping | None:
    return next((callback for _, callback in net.callbacks_ if isinstance(callback, Stopping)), None)
