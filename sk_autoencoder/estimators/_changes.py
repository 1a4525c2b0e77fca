"""Parameters that change between two trainings of the same weights: each is followed, or refused by name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from sk_autoencoder.estimators._assembly import Assembly
from sk_autoencoder.networks import NetworkShape

# Fields of a shape that bear another name than the parameter behind them, or have none of their own.
_PARAMETERS = {"dtype": "precision", "n_members": "n_estimators"}
_DERIVED = ("n_features", "n_encoded", "sample_shape")


def given(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the parameters, nested ones too; a part is told by its class, and what callbacks hold by its text."""
    return {
        name: repr(value) if name.startswith("callbacks") else _comparable(value)
        for name, value in estimator.get_params(deep=True).items()
    }


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the old and the new value of each parameter that is not what it was."""
    return {
        name: (before[name], value) for name, value in now.items() if name in before and not _same(before[name], value)
    }


def fixed(assembly: Assembly, shape: NetworkShape, device: torch.device) -> dict[str, Any]:
    """Return what trained weights and the solver's state are bound to, by the parameter that chooses it."""
    widths = {_PARAMETERS.get(name, name): value for name, value in asdict(shape).items() if name not in _DERIVED}
    parts = {"network": assembly.network, "objective": assembly.objective, "scaling": assembly.scaling}
    solver = type(assembly.solver).__name__  # whose parameters may change
    return {**widths, **parts, "solver": solver, "device": str(torch.empty(0, device=device).device)}


def refuse(estimator: Any, changes: dict[str, tuple[Any, Any]], before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise an error for parameters that trained weights cannot follow."""
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
        f"Training goes on with the weights of {type(estimator).__name__}, which cannot follow {_listed(lost)}.{cause} "
        "Restore the earlier value, or train new weights: fit with warm_start=False."
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
    """Whether two choices are equal; parts are compared by their parameters, if these were touched."""
    if not isinstance(one, BaseEstimator) or type(one) is not type(other):
        return _same(one, other)
    return not touched or changed(given(one), given(other)) == {}
