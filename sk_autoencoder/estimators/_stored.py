"""Checks of a stored model before its network is built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Generator

from sk_autoencoder.networks import NETWORKS, Network, NetworkShape
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.objectives.base import extend


def check_version(kind: str, state: dict[str, Any], version: int) -> None:
    """Raise an error if the state of a fitted estimator has another format version, or none."""
    if ("_net_state" in state or "_state_version" in state) and state.get("_state_version") != version:
        raise ValueError(
            f"This {kind} was stored in format {state.get('_state_version')}, but this version of sk_autoencoder reads "
            f"format {version}; fit it again, or load it with the version that stored it."
        )


def check_sizes(estimator: Any, weights: dict[str, np.ndarray]) -> None:
    """Raise an error if the stored arrays do not match the stored shape, before memory is allocated for the network."""
    shape, network, objective = estimator._shape, estimator._assembly.network, estimator._assembly.objective
    n_stored = sum(array.size for array in weights.values())
    fits = shape.n_features == len(estimator._affine.center) and 1 <= shape.n_members <= n_stored
    if fits and type(network) in NETWORKS.values():  # a user's network may not support the "meta" device
        fits = _fits(network, objective if type(objective) in OBJECTIVES.values() else None, shape, weights)
    if not fits:
        raise ValueError(
            f"The arrays of this stored {type(estimator).__name__} do not have the expected shapes, so the file is "
            "damaged; fit it again."
        )


def _fits(network: Network, objective: Objective | None, shape: NetworkShape, weights: dict[str, np.ndarray]) -> bool:
    """Whether the weights of a network of this shape have the stored shapes; uses no memory for weights."""
    generators = [Generator()] * shape.n_members
    try:
        module = network.build(replace(shape, device="meta"), generators)
        if objective is not None:
            extend(module, objective, generators)
    except RuntimeError:  # the size exceeds torch's limits
        return False
    return all(name in weights and weights[name].shape == weight.shape for name, weight in module.named_parameters())
