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


@dataclass(frozen=True)
class Evaluation:
    """What an objective found: the loss, its named parts for every row, and the tensors behind them."""

    loss: Tensor  # (n_members,)
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

    @abstractmethod
    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
