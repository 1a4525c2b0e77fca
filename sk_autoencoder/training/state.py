"""A trained net as numpy arrays and plain values, and back: what pickle, joblib and skops store."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_autoencoder.training.net import AutoencoderNet


def net_state(net: AutoencoderNet, with_optimizer: bool) -> dict[str, Any]:
    """Weights, those that are frozen, history and, to go on training, the optimizer's state."""
    state: dict[str, Any] = {
        "weights": {name: _array(tensor) for name, tensor in net.module_.state_dict().items()},
        "frozen": [name for name, weight in net.module_.named_parameters() if not weight.requires_grad],
        "history": list(net.history),
        "optimizer": None,
    }
    if with_optimizer:
        slots = net.optimizer_.state_dict()["state"]
        count = sum(len(group["params"]) for group in net.optimizer_.param_groups)
        filled = (slots.get(index, {}) for index in range(count))  # SGD has none for weights that never moved
        state["optimizer"] = [{key: _array(value) for key, value in slot.items()} for slot in filled]
    return state


def load_net_state(net: AutoencoderNet, state: dict[str, Any]) -> None:
    """Fill an initialized net of the same shape."""
    device = torch.device(net.device)
    net.module_.load_state_dict({name: _tensor(array, device) for name, array in state["weights"].items()})
    for name, weight in net.module_.named_parameters():
        weight.requires_grad_(name not in state["frozen"])
    net.history.extend(state["history"])
    if state["optimizer"]:
        slots = [{key: _tensor(value, device) for key, value in slot.items()} for slot in state["optimizer"]]
        stored = {"state": dict(enumerate(slots)), "param_groups": net.optimizer_.state_dict()["param_groups"]}
        net.optimizer_.load_state_dict(stored)


def _array(value: Tensor | None) -> np.ndarray | None:
    return None if value is None else value.detach().cpu().numpy().copy()


def _tensor(value: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if value is None else torch.tensor(np.array(value), device=device)
