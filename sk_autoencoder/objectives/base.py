"""What a network is asked to do with a batch, and what it says of it afterwards."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._parts import Part
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder


@dataclass(frozen=True)
class Batch:
    """Scaled rows of every member, (n_members, n, n_features): what the network sees and what it should return."""

    corrupted: Tensor
    clean: Tensor
    progress: float = 1.0  # share of the training that lies behind; 1 outside training


@dataclass(frozen=True)
class Evaluation:
    """What an objective found: the loss, its named parts for every row, and the tensors behind them."""

    loss: Tensor  # (n_members,); NaN where nobody asked
    parts: dict[str, Tensor]  # each (n_members, n)
    code: Tensor  # (n_members, n, n_components)
    reconstruction: Tensor  # (n_members, n, n_features), scaled
    target: Tensor  # (n_members, n, n_features), scaled

    def map(self, function: Callable[[Tensor], Tensor]) -> Evaluation:
        """Apply a function to everything but the loss."""
        parts = {name: function(part) for name, part in self.parts.items()}
        return Evaluation(self.loss, parts, *map(function, (self.code, self.reconstruction, self.target)))

    def __getitem__(self, index: Any) -> Evaluation:
        """Select members, rows, or both."""
        return self.map(lambda tensor: tensor[index])

    @classmethod
    def without_parts(cls, code: Tensor, reconstruction: Tensor, target: Tensor) -> Evaluation:
        """Return what a network says, when nobody asks what an objective makes of it."""
        return cls(code.new_full((len(code),), torch.nan), {}, code, reconstruction, target)

    @staticmethod
    def concatenate(evaluations: list[Evaluation], dim: int) -> Evaluation:
        """Join everything but the losses along a dimension."""
        first = evaluations[0]
        parts = {name: torch.cat([e.parts[name] for e in evaluations], dim) for name in first.parts}
        tensors = (torch.cat([getattr(e, name) for e in evaluations], dim) for name in _TENSORS)
        return Evaluation(first.loss, parts, *tensors)


_TENSORS = ("code", "reconstruction", "target")


class Objective(Part):
    """Abstract: a loss of a network on a batch."""

    gives: ClassVar[tuple[str, ...]]  # names of the parts in its evaluations
    encoded_per_component: ClassVar[int] = 1  # 2 when the encoder returns mean and spread
    prevents_copying: ClassVar[bool] = False
    turnable: ClassVar[bool] = False  # whether its terms stay the same when the code is turned onto other axes
    has_prior: ClassVar[bool] = False  # whether codes are trained to look like draws from the standard normal

    def extend(self, network: Autoencoder) -> None:
        """Give a new network the running means that this objective keeps, as buffers (n_members, 1, width)."""

    @abstractmethod
    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""

    def backpropagate(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation | None:
        """Evaluate a training batch, without parts, and add to the weights' gradients; None leaves that to autograd."""
        del network, batch, loss
        return None


def compare(network: Autoencoder, code: Tensor, batch: Batch, loss: Loss) -> tuple[Tensor, Tensor]:
    """Decode and compare with the clean rows; return the error of each cell and the reconstruction."""
    output = network.decode(code, logits=loss.on_logits)
    reconstruction = output.sigmoid() if loss.on_logits and not network.training else output
    return loss(output, batch.clean), reconstruction


# Share of the newest batch in a running mean, as in batch normalization.
_MOMENTUM = 0.1


def follow(network: Autoencoder, name: str, batch_mean: Tensor) -> None:
    """Move a running mean of the network towards the mean of this batch, (n_members, 1, width)."""
    running = network.get_buffer(name)
    running.lerp_(batch_mean.detach().to(running.dtype), _MOMENTUM)


def followed(network: Autoencoder, name: str, rows: Tensor) -> Tensor:
    """Return a running mean for rows of several blocks, (n_members * n_blocks, 1, width)."""
    running = network.get_buffer(name)
    return running.repeat_interleave(len(rows) // len(running), dim=0)
