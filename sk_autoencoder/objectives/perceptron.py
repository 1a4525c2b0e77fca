"""Small multilayer perceptrons that objectives register on a network: discriminators and heads."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from sk_autoencoder.blocks import affine, padded
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.activations import ACTIVATIONS, initial_std
from sk_autoencoder.objectives.base import normal_like

Layers = list[tuple[Tensor, Tensor]]  # weights (n_members, n_in, n_out) and biases (n_members, 1, n_out)


def register(network: Autoencoder, name: str, sizes: tuple[int, ...], activation: str) -> None:
    """Register weights and biases ``<name>_weight_<layer>`` and ``<name>_bias_<layer>``, and draw the weights."""
    shape = network.shape
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        weight = torch.empty(shape.n_members, n_in, n_out, dtype=shape.torch_dtype, device=shape.device)
        weight = normal_like(network, weight) * initial_std(activation, n_in, n_out)
        bias = torch.zeros(shape.n_members, 1, n_out, dtype=shape.torch_dtype, device=shape.device)
        network.register_parameter(f"{name}_weight_{layer}", nn.Parameter(weight))
        network.register_parameter(f"{name}_bias_{layer}", nn.Parameter(bias))


def registered(network: Autoencoder, name: str) -> Layers:
    """Return the layers; padded, unless the network is trained (see ``Autoencoder.for_inference``).

    The function of the network is not changed by the padding, since padded units have zero weights in the next layer.
    """
    own = dict(network.named_parameters(recurse=False))
    kinds = (f"{name}_weight_", f"{name}_bias_")
    weights, biases = ([own[key] for key in own if key.startswith(kind)] for kind in kinds)
    layers: Layers = list(zip(weights, biases, strict=True))
    if network.training:
        return layers
    return [(padded(w, rows=layer > 0), padded(b, rows=False)) for layer, (w, b) in enumerate(layers)]


def outputs(layers: Layers, rows: Tensor, activation: str) -> Tensor:
    """Return the output of the last layer, (m, n, n_out), where n_out may be padded."""
    function = ACTIVATIONS[activation].function
    for layer, (weight, bias) in enumerate(layers, start=1):
        rows = affine(rows, weight, bias, function if layer < len(layers) else None)
    return rows
