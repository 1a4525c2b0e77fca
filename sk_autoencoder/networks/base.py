"""Base classes of networks: an encoder and a decoder for each ensemble member.

The first axis of tensors is the member: samples are (n_members, n_samples, n_features), latent codes
(n_members, n_samples, n_components).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import StrOptions
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.backpropagation import Layer


@dataclass(frozen=True)
class NetworkShape:
    """Sizes and options that a network is built from, all plain values that can be stored.

    Parameters
    ----------
    n_features : int
        Number of features of a sample.
    n_components : int
        Size of the latent code.
    n_encoded : int
        Number of outputs of the encoder: ``n_components``, or twice that for means and log-variances.
    hidden_layer_sizes : tuple of int
        Widths of the hidden layers of the encoder; the decoder mirrors them.
    activation : str
        Activation of the hidden layers.
    out_activation : str
        Activation of the output.
    n_members : int, default=1
        Number of networks that are trained in parallel.
    dtype : str, default="float32"
        Data type of the weights, "float32" or "float64".
    sample_shape : tuple of int or None, default=None
        Shape that convolutional and recurrent networks reshape a sample to. None is one sequence of ``n_features``
        steps.
    device : str, default="cpu"
        Device of new weights. On "meta" they have shapes, but take no memory.
    indicators : tuple of int, default=()
        Columns with an indicator: a further input of the encoder, which is 1 where the value of the column is missing.
        Networks that read channels have indicators of all columns, or none.
    """

    n_features: int
    n_components: int
    n_encoded: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str
    out_activation: str
    n_members: int = 1
    dtype: str = "float32"
    sample_shape: tuple[int, ...] | None = None
    device: str = "cpu"
    indicators: tuple[int, ...] = ()

    @property
    def n_inputs(self) -> int:
        """Number of inputs of the encoder: the features, followed by the indicators."""
        return self.n_features + len(self.indicators)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape in which channels are read, (channels, ...); with indicators, there are twice as many channels."""
        n_channels, *sides = self.sample_shape or (1, self.n_features)
        return (n_channels * self.n_inputs // self.n_features, *sides)

    @property
    def torch_dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return torch.float64 if self.dtype == "float64" else torch.float32


def filled(rows: Tensor, fill: Tensor) -> Tensor:
    """Return rows with other values, (n_features,), in place of missing ones."""
    # torch.where takes three times as long.
    return rows.nan_to_num(0.0, torch.inf, -torch.inf).add_(rows.isnan() * fill)


def with_indicators(values: Tensor, observed: Tensor | None, columns: tuple[int, ...]) -> Tensor:
    """Return the input of a network: filled samples (..., n_features), and indicators of missing values.

    ``observed`` says which values are not missing; None means all. Without ``columns``, the values are returned.
    """
    if not columns:
        return values
    if observed is None:
        return F.pad(values, (0, len(columns)))
    return torch.cat([values, (~observed[..., columns]).to(values.dtype)], dim=-1)


N_COMPLETIONS = 2  # more take more time, and the reconstruction is hardly better


def refined(network: nn.Module, inputs: Tensor, known: Tensor) -> Tensor:
    """Replace missing values of a network's input, which are filled, by their reconstruction, several times.

    ``known`` (..., n_features) says which values are not missing. Indicators follow the features in ``inputs``.
    """
    values, indicators = inputs.tensor_split([known.shape[-1]], dim=-1)
    for _ in range(N_COMPLETIONS):
        values = torch.where(known, values, network(inputs).to(values.dtype))
        inputs = torch.cat([values, indicators], dim=-1) if indicators.shape[-1] else values
    return inputs


_NORMALISE_BATCHES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Autoencoder(nn.Module):
    """Abstract base class: the torch module that a ``Network`` builds.

    During training, and while an objective extends a new network, ``noise`` holds one random generator for each member.
    Otherwise it is None.

    Parameters
    ----------
    shape : NetworkShape
        Sizes and options.
    """

    noise: list[Generator] | None = None
    # The training clips each member's gradients at this norm.
    max_gradient_norm: float | None = None
    # Whether the member is the first axis of all weights.
    has_member_axis: bool = True
    # Whether ``decode`` takes the target of the reconstruction, ``clean``, during training.
    uses_targets: bool = False
    # Share of the hidden values that ``dropped`` sets to zero.
    dropout: float = 0.0

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape

    @property
    def repeats_operations(self) -> bool:
        """Whether all training steps take the same operations on the device, so that a CUDA graph can record a step.

        They draw no random numbers, read no values on the host, and make no tensors from numbers of the host.
        """
        return False

    def computes_as(self, kind: type[Autoencoder]) -> bool:
        """Whether samples are encoded and decoded as by ``kind``, a class that this one inherits from."""
        return type(self).encode is kind.encode and type(self).decode is kind.decode

    def dropped(self, x: Tensor, member: int | None = None) -> Tensor:
        """Set random values of a member to zero during training, or of all, (n_members, ...)."""
        if not (self.dropout and self.training):
            return x
        assert self.noise is not None, "a network with dropout needs the generators in ``noise`` for training"
        kept = torch.empty_like(x)
        of_members = zip(kept, self.noise, strict=True) if member is None else [(kept, self.noise[member])]
        for values, generator in of_members:
            values.bernoulli_(1 - self.dropout, generator=generator)
        return x * kept / (1 - self.dropout)

    @property
    def linear(self) -> bool:
        """Whether encoder and decoder are affine maps."""
        return False

    @property
    def fewest_rows(self) -> int:
        """Size of the smallest mini-batch for training: 2 with batch normalization, 1 otherwise."""
        return 2 if any(isinstance(module, _NORMALISE_BATCHES) for module in self.modules()) else 1

    @property
    def n_multiplications(self) -> int:
        """Estimated number of multiplications per sample, over all members; the number of threads depends on it."""
        return sum(weight.numel() for weight in self.parameters())

    @property
    def widest(self) -> int:
        """Number of values of the largest layer for one sample; an estimate, by which memory is planned."""
        return max(self.shape.n_inputs, *self.shape.hidden_layer_sizes, self.shape.n_components)

    @abstractmethod
    def encode(self, rows: Tensor) -> Tensor:
        """Encode samples, (n_members, n, n_inputs) -> (n_members, n, n_encoded)."""

    @abstractmethod
    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """Decode latent codes, (n_members, n, n_components) -> (n_members, n, n_features).

        With ``logits``, the output activation is not applied.
        """

    @abstractmethod
    def for_inference(self) -> Autoencoder:
        """Return an equivalent module whose outputs do not depend, bit by bit, on a sample's position in a block.

        It also accepts several blocks at once, (n_members * n_blocks, n, width), where those of a member are adjacent.
        """

    @abstractmethod
    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member's encoder and decoder as modules that take scaled samples, (n, n_features)."""

    def layers(self, logits: bool = False) -> list[Layer] | None:
        """Return all layers in order if the network consists of affine layers only, None otherwise.

        With layers, objectives can compute gradients without autograd. ``logits`` is that of ``decode``.
        """
        del logits
        return None

    def lower(self, rows: Tensor, n_layers: int) -> Tensor:
        """Return the output of the first ``n_layers`` layers of the encoder, (n_members, n, width).

        Only networks with ``has_layers`` support it.
        """
        raise NotImplementedError

    def width_of(self, n_layers: int) -> int:
        """Return the number of outputs of the first ``n_layers`` layers of the encoder."""
        raise NotImplementedError

    def stages(self) -> list[Autoencoder]:
        """Return a shallow autoencoder for each layer, with shared weights; [] if layers cannot be pretrained.

        The inputs of a stage are the codes of the previous one.
        """
        return []

    def of_member(self, tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
        """Select one member from tensors with the names and shapes of ``state_dict()``; returns views."""
        return {name: tensor[member] for name, tensor in tensors.items()}

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct scaled samples, (n_members, n, n_inputs) -> (n_members, n, n_features)."""
        return self.decode(self.encode(rows)[..., : self.shape.n_components])


OUT_ACTIVATION = [StrOptions({"auto", *ACTIVATIONS})]  # constraint of the parameter ``out_activation``


def draw_normal(values: Tensor, std: float, generators: Iterable[torch.Generator]) -> Tensor:
    """Fill a tensor (n_members, ...) with normal draws, those of each member from its own generator; return it."""
    for member, generator in zip(values, generators, strict=True):
        member.normal_(std=std, generator=generator)
    return values


class Network(Part):
    """Abstract base class: the architecture of the encoder and the decoder."""

    # Parameters that subclasses may have.
    dropout: float = 0.0
    out_activation: str = "auto"  # "auto" is that of the loss
    sample_shape: Any = None  # shape that samples are reshaped to
    has_layers: bool = False  # whether lower layers of the encoder have outputs of their own, see ``Autoencoder.lower``
    layerwise_pretraining: bool = False  # whether layers are pretrained one by one, see ``Autoencoder.stages``
    # What an indicator of missing values is an input for: "columns", or "channels" of which each gets another one. None
    # means that the encoder cannot have more inputs than there are features.
    indicators: str | None = None

    @abstractmethod
    def build(self, shape: NetworkShape, generators: list[Generator]) -> Autoencoder:
        """Build the module on the CPU, and draw the weights of each member from its own generator."""

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """Return the number of features, at least 128 and at most 512, then half the previous width for each layer."""
        first = min(512, max(128, n_features))
        return tuple(first >> layer for layer in range(n_layers))

    def warn(self, shape: NetworkShape) -> None:
        """Warn, before training, of a shape that the network can be built with, but hardly trained."""
        del shape

    @property
    def prevents_copying(self) -> bool:
        """Whether the network cannot learn the identity even if there are more components than features: by dropout."""
        return self.dropout > 0
