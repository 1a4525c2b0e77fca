"""Plain torch modules of recurrent autoencoders, for export; they take and give flat samples."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

KINDS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU}
_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Steps(nn.Module):
    """Turn flat samples, (n, n_sensors * n_steps), into sequences, (n, n_steps, n_sensors)."""

    def __init__(self, n_sensors: int):
        super().__init__()
        self.n_sensors = n_sensors

    def forward(self, rows: Tensor) -> Tensor:
        """Return sequences."""
        return rows.unflatten(1, (self.n_sensors, -1)).transpose(1, 2)


class Samples(nn.Module):
    """Turn sequences in reverse order of time, (n, n_steps, n_sensors), into flat samples."""

    def forward(self, steps: Tensor) -> Tensor:
        """Return samples, (n, n_sensors * n_steps)."""
        return steps.flip(1).transpose(1, 2).flatten(1)


class States(nn.Module):
    """Stacked recurrent layers, (n, n_steps, n_in) -> (n, n_steps, n_directions * n_units) of the last layer."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, steps: Tensor) -> Tensor:
        """Return the states of the last layer."""
        for layer in self.layers:
            steps, _ = layer(steps)
        return steps


class LastState(nn.Module):
    """Select the states after all steps: the last one and, of a layer in reverse order of time, the first one."""

    def __init__(self, bidirectional: bool):
        super().__init__()
        self.bidirectional = bidirectional

    def forward(self, states: Tensor) -> Tensor:
        """Return the selected states, (n, n_directions * n_units)."""
        if not self.bidirectional:
            return states[:, -1]
        forwards, backwards = states.chunk(2, dim=-1)
        return torch.cat([forwards[:, -1], backwards[:, 0]], dim=-1)


class Repeated(nn.Module):
    """Repeat a code for each step, (n, n_components) -> (n, n_steps, n_components)."""

    def __init__(self, n_steps: int):
        super().__init__()
        self.n_steps = n_steps

    def forward(self, code: Tensor) -> Tensor:
        """Return the repeated codes."""
        return code[:, None].expand(-1, self.n_steps, -1)


class Feedback(nn.Module):
    """Decoder whose input at each step is the step that it has computed before.

    ``starts`` give the state of each layer before the first step, ``output`` a step from the state of the last layer.
    """

    def __init__(
        self, layers: list[nn.Module], starts: list[nn.Module], output: nn.Module, activation: nn.Module, n_steps: int
    ):
        super().__init__()
        self.layers, self.starts = nn.ModuleList(layers), nn.ModuleList(starts)
        self.output, self.activation, self.n_steps = output, activation, n_steps

    def forward(self, code: Tensor) -> Tensor:
        """Return steps in reverse order of time, (n, n_steps, n_sensors), before the activation."""
        states: list[Any] = []
        for layer, start in zip(self.layers, self.starts, strict=True):
            first = start(code)[None]
            states.append(first.chunk(2, dim=-1) if isinstance(layer, nn.LSTM) else first)
        steps = [self.output(_visible(states[-1])[0])]
        for _ in range(self.n_steps - 1):
            x = self.activation(steps[-1])[:, None]
            for index, layer in enumerate(self.layers):
                x, states[index] = layer(x, states[index])
            steps.append(self.output(x[:, 0]))
        return torch.stack(steps, dim=1)


def _visible(state: Any) -> Tensor:
    """Return the hidden state of an LSTM's pair, or the state of a GRU."""
    return state[0] if isinstance(state, tuple) else state


def recurrent(cell: str, weights: list[Tensor]) -> nn.Module:
    """Return a layer with these weights, four for each direction of time, in the order of torch's kernels."""
    n_in, n_units, bidirectional = weights[0].shape[1], weights[1].shape[1], len(weights) > len(_WEIGHTS)
    layer = KINDS[cell](n_in, n_units, batch_first=True, bidirectional=bidirectional, device="meta")
    names = [name + end for end in ("", "_reverse") for name in _WEIGHTS]
    for name, weight in zip(names, weights, strict=False):
        setattr(layer, name, nn.Parameter(weight.detach().clone()))
    return layer


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a layer that computes ``x @ weight + bias``."""
    layer = nn.Linear(weight.shape[0], weight.shape[1], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.detach().T.clone()), nn.Parameter(bias.detach().clone())
    return layer
