"""Changes of parameters between two trainings of the same weights: which are supported, and errors for others."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sk_autoencoder.estimators._assembly import Assembly
from sk_autoencoder.networks import NetworkShape
from sk_autoencoder.scaling import Scaling

# Fields of NetworkShape whose parameter has another name, and fields without a parameter.
_PARAMETERS = {"dtype": "precision", "n_members": "n_estimators"}
_DERIVED = ("n_features", "n_encoded", "sample_shape", "indicators")


def given(estimator: BaseEstimator) -> dict[str, Any]:
    """Return all parameters, including nested ones; parts are represented by their class, callbacks by their repr."""
    return {
        name: repr(value) if name.startswith("callbacks") else _comparable(value)
        for name, value in estimator.get_params(deep=True).items()
    }


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each parameter that has changed."""
    return {
        name: (before[name], value) for name, value in now.items() if name in before and not _same(before[name], value)
    }


def fixed(assembly: Assembly, shape: NetworkShape, device: torch.device) -> dict[str, Any]:
    """Return the values that must not change while trained weights are used, by the name of their parameter."""
    widths = {_PARAMETERS.get(name, name): value for name, value in asdict(shape).items() if name not in _DERIVED}
    parts = {"network": assembly.network, "objective": assembly.objective, "scaling": assembly.scaling}
    solver = type(assembly.solver).__name__  # its parameters may change
    return {**widths, **parts, "solver": solver, "device": str(torch.empty(0, device=device).device)}


def refuse(estimator: Any, changes: dict[str, tuple[Any, Any]], before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise an error if parameters have changed that require new weights."""
    axes = {name.partition("__")[0] for name in changes}
    lost = {name: (before[name], now[name]) for name in now if not _agree(before[name], now[name], name in axes)}
    if (
        "n_estimators" in lost
        and now["n_estimators"] > before["n_estimators"]
        and not now["network"].layerwise_pretraining
    ):
        del lost["n_estimators"]  # members are added
    lost |= {name: changes[name] for name, others in estimator._tied_choices().items() if others and name in changes}
    if not lost:
        return
    follows = [name for name in changes if name.partition("__")[0] not in lost]
    cause = f" This follows from {_listed({name: changes[name] for name in follows})}." if lost.keys() - axes else ""
    raise ValueError(
        f"{type(estimator).__name__} cannot continue training with {_listed(lost)}.{cause} Restore the previous "
        "values, or train new weights by fit with warm_start=False."
    )


def _listed(changes: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name}={now!r} (was {before!r})" for name, (before, now) in changes.items())


def _comparable(value: Any) -> Any:
    if isinstance(value, BaseEstimator):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    return list(value) if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    return one is other or np.array_equal(one, other)


def _agree(one: Any, other: Any, touched: bool) -> bool:
    """Whether two values are equal; parts are compared by their parameters if these may have changed."""
    if not isinstance(one, BaseEstimator) or type(one) is not type(other):
        return _same(one, other)
    changes = changed(given(one), given(other)) if touched else {}
    if isinstance(one, Scaling):
        changes.pop("input_margin", None)  # only the bounds of the input depend on it
    return not changes
