"""Training that survives its process: the net's state in one file, written after each epoch."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from sk_autoencoder.training.callbacks import Stopping
from sk_autoencoder.training.net import AutoencoderNet
from sk_autoencoder.training.state import load_net_state, net_state

_FILE = "training.npz"
_FORMAT = 3
_UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError)


class Checkpoint:
    """A file that holds a net in training, for one set of parameters and rows.

    Parameters
    ----------
    directory : path-like
        Where the file lies; made if it does not exist.
    identity : dict of str
        What the training depends on, by name. A file of another training is refused.
    """

    def __init__(self, directory: Any, identity: dict[str, str]):
        self.path = Path(directory) / _FILE
        self.notes: dict[str, Any] = {"format": _FORMAT, "identity": identity}
        self.arrays: dict[str, np.ndarray] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        """Read arrays and notes; raise for a damaged file and for one of another training."""
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            notes = json.loads(str(arrays.pop("notes")))
            found = notes["identity"] | {"format": notes["format"]}
        except _UNREADABLE as error:
            raise ValueError(
                f"The checkpoint {self.path} cannot be read ({error}). Delete it to train from the start, or name "
                "another directory in checkpoint."
            ) from error
        expected = self.notes["identity"] | {"format": _FORMAT}
        differing = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        if differing:
            raise ValueError(
                f"The checkpoint {self.path} belongs to another training: {', '.join(differing)} differ. Delete it to "
                "train from the start, or name another directory in checkpoint."
            )
        self.arrays, self.notes = arrays, notes

    def restore(self, net: AutoencoderNet) -> None:
        """Bring a new net to where the file's net was."""
        state: dict[str, Any] = {"weights": {}, "optimizer": [{} for _ in range(self.notes["n_slots"])]}
        for name, array in self.arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "weights":
                state["weights"][rest] = array
            elif kind == "optimizer":
                position, _, slot = rest.partition("/")
                state["optimizer"][int(position)][slot] = array
        load_net_state(net, state | {name: self.notes[name] for name in ("history", "frozen")})
        net.epochs_done_ = len(net.history)

    def save(self, net: AutoencoderNet, stopping: Stopping | None) -> None:
        """Replace the file by the net's present state; a process killed meanwhile leaves the old file."""
        state = net_state(net, with_optimizer=True)
        arrays = {f"weights/{name}": array for name, array in state["weights"].items()}
        for position, slots in enumerate(state["optimizer"]):
            arrays |= {f"optimizer/{position}/{key}": value for key, value in slots.items() if value is not None}
        if stopping is not None:
            arrays |= {f"stopping/{name}": getattr(stopping, name) for name in _RULE}
            arrays |= {f"best/{name}": tensor.cpu().numpy() for name, tensor in stopping.weights_.items()}
        self.notes |= {
            "history": state["history"],
            "frozen": state["frozen"],
            "n_slots": len(state["optimizer"]),
            "seed": net.plan.seed,
        }
        unfinished = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(unfinished, "wb") as file:
                np.savez(file, notes=np.array(json.dumps(self.notes)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(error.errno, f"The checkpoint could not be written ({error})", str(self.path)) from error


# What the stopping rule knows, besides the best weights.
_RULE = ("threshold_", "best_", "stale_", "stopped_")


class Saving(Callback):
    """Write the checkpoint after each epoch, and let the stopping rule go on where it was. Comes after that rule."""

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Restore the stopping rule."""
        rule = _stopping(net)
        arrays = self.checkpoint.arrays
        if rule is not None and arrays:
            for name in _RULE:
                setattr(rule, name, arrays[f"stopping/{name}"])
            best = {name: array for name, array in arrays.items() if name.startswith("best/")}
            rule.weights_ = {
                name.removeprefix("best/"): torch.tensor(array, device=net.device) for name, array in best.items()
            }

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Write the file."""
        self.checkpoint.save(net, _stopping(net))


def _stopping(net: AutoencoderNet) -> Stopping | None:
    return next((callback for _, callback in net.callbacks_ if isinstance(callback, Stopping)), None)
