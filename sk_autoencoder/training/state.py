"""Conversion of a trained net to numpy arrays and built-in types, for pickle, joblib and skops, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_autoencoder.training.net import AutoencoderNet


def net_state(net: AutoencoderNet, with_optimizer: bool) -> dict[str, Any]:
    """Return weights, names of frozen weights, history and, optionally, the optimizer's state by index of weight."""
    state: dict[str, Any] = {
        "weights": {name: _array(tensor) for name, tensor in net.module_.state_dict().items()},
        "frozen": [name for name, weight in net.module_.named_parameters() if not weight.requires_grad],
        "history": _plain(list(net.history)),
        "optimizer": None,
    }
    if with_optimizer:
        slots = net.optimizer_.state_dict()["state"]
        state["optimizer"] = {
            index: {key: _array(value) for key, value in slot.items()} for index, slot in slots.items()
        }
    return state


def load_net_state(net: AutoencoderNet, state: dict[str, Any]) -> None:
    """Load a state into an initialized net of the same shape."""
    device = torch.device(net.device)
    net.module_.load_state_dict({name: _tensor(array, device) for name, array in state["weights"].items()})
    for name, weight in net.module_.named_parameters():
        weight.requires_grad_(name not in state["frozen"])
    net.history.extend(state["history"])
    if state["optimizer"]:
        present = net.optimizer_.state_dict()
        stored = {
            index: {key: _tensor(value, device) for key, value in slot.items()}
            for index, slot in state["optimizer"].items()
        }
        net.optimizer_.load_state_dict({**present, "state": present["state"] | stored})


def _array(value: Tensor | None) -> np.ndarray | None:
    return None if value is None else value.detach().cpu().numpy().copy()


def _tensor(value: np.ndarray | None, device: torch.device) -> Tensor | None:
    return None if value is None else torch.tensor(np.array(value), device=device)


def _plain(value: Any) -> Any:
    """Convert arrays, tensors and numpy scalars, which callbacks may record, to numbers and lists."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value
