"""Checkpoint of a training, and its identity: parameters and samples as strings that are equal in all processes."""

from __future__ import annotations

import inspect
from functools import partial
from hashlib import blake2b
from types import CodeType
from typing import Any

import numpy as np

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import plain
from sk_autoencoder.estimators._assembly import Samples, assemble
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.scaling import ColumnStatistics, column_statistics
from sk_autoencoder.training.checkpoint import Checkpoint
from sk_autoencoder.training.rows import dense

# Parameters that do not affect the weights, or may differ between the processes that share a checkpoint.
_IRRELEVANT = ("checkpoint", "callbacks", "verbose", "device", "contamination", "whiten")
_N_ROWS = 256
_LONGEST_TEXT = 200
_DEPTH = 4  # maximum depth of nested functions and objects, which may contain themselves


def open_checkpoint(
    estimator: Any,
    training: Samples,
    statistics: ColumnStatistics,
    validation: Samples | None,
    start: Autoencoder | None = None,
) -> Checkpoint:
    """Open the checkpoint, and check that an existing file belongs to this training.

    ``start`` is a fitted network that the training begins with.
    """
    check_checkpoint(estimator)
    return Checkpoint(estimator.checkpoint, training_identity(estimator, training, statistics, validation, start))


def check_checkpoint(estimator: Any) -> None:
    """Raise an error for parameters that checkpoints do not support."""
    if estimator.checkpoint is None:
        return
    parts = assemble(estimator)
    for name, given in (
        ("warm_start=False", estimator.warm_start),
        ("layerwise_pretraining=False in the network", parts.network.layerwise_pretraining),
        ("trim=0.0 in the objective", parts.objective.trim),
    ):
        if given:
            raise ValueError(f"checkpoint requires {name}; change it, or use checkpoint=None.")


def training_identity(
    estimator: Any,
    training: Samples,
    statistics: ColumnStatistics,
    validation: Samples | None,
    start: Autoencoder | None,
) -> dict[str, str]:
    """Return a string for each parameter, and digests of all samples, of groups, labels and weights to start with."""
    parameters = {
        name: _text(type(value) if isinstance(value, Part) else value)  # parameters of parts have their own entries
        for name, value in estimator.get_params(deep=True).items()
        if name.partition("__")[0] not in _IRRELEVANT
    }
    X_val = "None" if validation is None else _digest(validation.X, column_statistics(validation.X, validation.weight))
    groups = "None" if training.groups is None else _hash(repr(training.groups.tolist()))
    labels = _hash(repr([_bytes(samples) for samples in (training, validation)]))
    weights = "None" if start is None else _hash(repr([w.cpu().numpy().tobytes() for w in start.state_dict().values()]))
    digests = {"X_val": X_val, "groups": groups, "labels": labels, "weights of the fitted autoencoder": weights}
    return parameters | {"X": _digest(training.X, statistics)} | digests


def _bytes(samples: Samples | None) -> bytes:
    return b"" if samples is None or samples.labels is None else samples.labels.tobytes()


def _text(value: Any, depth: int = _DEPTH) -> str:
    """Return the representation of a value, or the name of a callable or other object with a hash of its definition."""
    if isinstance(value, np.random.RandomState):
        return "RandomState"  # the seed that was drawn from it is in the checkpoint
    if isinstance(value, CodeType):
        value = [value.co_code, value.co_names, value.co_consts]
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple | set | frozenset):
        texts = [_text(entry, depth) for entry in value]
        return f"[{', '.join(sorted(texts) if isinstance(value, set | frozenset) else texts)}]"
    if not callable(value) and type(value).__repr__ is not object.__repr__:
        text = repr(plain(value))
        return text if len(text) <= _LONGEST_TEXT else _hash(text)
    name = _name(value if hasattr(value, "__qualname__") else type(value))
    if depth == 0 or name.startswith("sk_autoencoder."):
        return name
    return f"{name} {_hash(_text(_definition(value), depth - 1))}"


def _definition(value: Any) -> Any:
    """Return the code and the attributes of an object; functions that the code calls are not included."""
    if inspect.isclass(value):
        bases = [base if base.__module__ == value.__module__ else _name(base) for base in value.__bases__]
        members = {name: getattr(m, "__func__", getattr(m, "fget", m)) for name, m in vars(value).items()}
        return bases, {name: member for name, member in members.items() if _is_written(name, member)}
    if inspect.isfunction(value):
        closure = inspect.getclosurevars(value).nonlocals
        return value.__code__, value.__defaults__, value.__kwdefaults__, closure
    if inspect.ismethod(value):
        return value.__func__, value.__self__
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    return type(value), getattr(value, "__dict__", {})


def _is_written(name: str, member: Any) -> bool:
    """Whether a member of a class was written in its body, rather than added by Python or an extension module."""
    return inspect.isfunction(member) or not (name.startswith("__") or inspect.isroutine(member))


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}.{value.__qualname__}"


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _digest(X: Any, statistics: ColumnStatistics) -> str:
    """Digest of shape, dtype, statistics of all columns and some samples, which avoids another pass over X."""
    chosen = dense(X[:: max(1, X.shape[0] // _N_ROWS)])
    hashed = blake2b(digest_size=16)
    weights = () if statistics.weight is None else (statistics.weight,)
    for array in (statistics.mean, statistics.variance, statistics.low, statistics.high, chosen, *weights):
        hashed.update(np.ascontiguousarray(array).data)
    return f"{X.shape} {X.dtype} {hashed.hexdigest()}"
