"""What every network is: an encoder and a decoder for one or several members.

Tensors are member-first: rows are (n_members, n_samples, n_features), codes (n_members, n_samples, n_components).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from sk_autoencoder._parts import Part
from sk_autoencoder._validation import StrOptions
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.backpropagation import Layer


@dataclass(frozen=True)
class NetworkShape:
    """What a network is built from; plain values only, so that it can be stored.

    Parameters
    ----------
    n_features : int
        Number of features of a sample.
    n_components : int
        Size of the latent code.
    n_encoded : int
        Number of outputs of the encoder: ``n_components``, or twice that for mean and spread.
    hidden_layer_sizes : tuple of int
        Widths of the hidden layers of the encoder; the decoder mirrors them.
    activation : str
        Activation of the hidden layers.
    out_activation : str
        Activation of the output.
    n_members : int, default=1
        Number of networks that are trained side by side.
    dtype : str, default="float32"
        Type of the weights, "float32" or "float64".
    sample_shape : tuple of int or None, default=None
        How networks with structure read a sample. None is one sequence of ``n_features`` steps.
    device : str, default="cpu"
        Where new weights are stored. On "meta" they have sizes, but take no memory.
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

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of the weights."""
        return torch.float64 if self.dtype == "float64" else torch.float32


_NORMALISE_BATCHES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Autoencoder(nn.Module):
    """Abstract: the module that a network part builds.

    ``noise`` holds one generator for each member during training, for layers that draw (dropout), and is None
    otherwise.

    Parameters
    ----------
    shape : NetworkShape
        What the module was built from.
    """

    noise: list[Generator] | None = None

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape

    @property
    def linear(self) -> bool:
        """Whether encoder and decoder are affine maps."""
        return False

    @property
    def fewest_rows(self) -> int:
        """The smallest mini-batch that it can be trained on: two samples where batches are normalised, else one."""
        return 2 if any(isinstance(module, _NORMALISE_BATCHES) for module in self.modules()) else 1

    @property
    def n_multiplications(self) -> int:
        """How many a sample takes, by all members together; an estimate, by which threads are chosen."""
        return sum(weight.numel() for weight in self.parameters())

    @abstractmethod
    def encode(self, rows: Tensor) -> Tensor:
        """(n_members, n, n_features) -> (n_members, n, n_encoded)."""

    @abstractmethod
    def decode(self, code: Tensor, logits: bool = False) -> Tensor:
        """(n_members, n, n_components) -> (n_members, n, n_features), before the output activation if ``logits``."""

    @abstractmethod
    def for_inference(self) -> Autoencoder:
        """Return a module with equal results in which a row's bits do not depend on its place in a block.

        It also takes several blocks at once, (n_members * n_blocks, n, width), the blocks of a member side by side.
        """

    @abstractmethod
    def plain(self) -> tuple[nn.Module, nn.Module]:
        """Return the first member's encoder and decoder as plain modules on 2-D scaled rows."""

    def layers(self, logits: bool = False) -> list[Layer] | None:
        """Return all layers in their order, if the network is nothing but affine layers; None otherwise.

        Objectives then need no autograd. ``logits`` is that of ``decode``.
        """
        del logits
        return None

    def stages(self) -> list[Autoencoder]:
        """One shallow autoencoder for each layer, over the same weights; [] where layers cannot learn one by one.

        The rows of a stage are the codes of the one before.
        """
        return []

    def of_member(self, tensors: dict[str, Tensor], member: int) -> dict[str, Tensor]:
        """Return a member's share of tensors that are named and shaped as in ``state_dict()``, as views."""
        return {name: tensor[member] for name, tensor in tensors.items()}

    def forward(self, rows: Tensor) -> Tensor:
        """Reconstruct scaled rows."""
        return self.decode(self.encode(rows)[..., : self.shape.n_components])


OUT_ACTIVATION = [StrOptions({"auto", *ACTIVATIONS})]  # constraint of the parameter


class Network(Part):
    """Abstract: how an autoencoder's encoder and decoder are wired."""

    # Parameters that a child may have.
    out_activation: str = "auto"  # "auto": that of the loss
    sample_shape: Any = None  # how a network with structure reads a sample
    layerwise_pretraining: bool = False  # whether layers learn one by one first, see ``Autoencoder.stages``

    @abstractmethod
    def build(self, shape: NetworkShape, generators: list[Generator]) -> Autoencoder:
        """Return a module on the CPU, each member's weights drawn from its own generator."""

    def auto_hidden_layer_sizes(self, n_features: int, n_layers: int) -> tuple[int, ...]:
        """As wide as the row, but at least 128 and at most 512, and from there each layer half of the one before."""
        first = min(512, max(128, n_features))
        return tuple(first >> layer for layer in range(n_layers))

    @property
    def prevents_copying(self) -> bool:
        """Whether the network itself keeps a code wider than the row from learning the identity."""
        return False
