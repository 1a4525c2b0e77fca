"""Robust training: samples with large reconstruction errors are left out of each mini-batch."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from sk_autoencoder._torch import foreach_lerp
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.base import with_indicators
from sk_autoencoder.objectives import Batch, Objective

# Decay of the moving average of the weights after the first steps.
_SLOWNESS = 0.99


class Trimming:
    """Select samples by their errors under a moving average of the weights, which is robust to single outliers."""

    def __init__(self, network: Autoencoder, share: float):
        self.share, self.fewest = share, network.fewest_rows
        self.slow = copy.deepcopy(network).requires_grad_(False).eval()
        self._weights: list[Tensor] = list(network.parameters())
        self._averages: list[Tensor] = list(self.slow.parameters())
        self._pairs = list(zip(self.slow.buffers(), network.buffers(), strict=True))
        self._steps = 0

    def __call__(self, batch: Batch, objective: Objective, loss: Loss) -> Batch:
        """Return the batch without the given fraction of each member's samples, those with the largest errors."""
        with torch.set_grad_enabled(objective.uses_gradients):
            clean = with_indicators(batch.clean, batch.observed, self.slow.shape.indicators)
            evaluation = objective(self.slow, replace(batch, corrupted=clean), loss)
        errors = evaluation.terms["reconstruction"].detach()  # (m, n)
        n_kept = max(self.fewest, errors.shape[1] - int(self.share * errors.shape[1]))
        kept = errors.topk(n_kept, dim=1, largest=False, sorted=False).indices.sort(dim=1).values
        return batch.gather(kept)

    @torch.no_grad()
    def follow(self) -> None:
        """Update the moving average of the weights; its decay increases during the first steps. Copy the buffers."""
        self._steps += 1
        slowness = min(_SLOWNESS, self._steps / (10 + self._steps))
        foreach_lerp(self._averages, self._weights, 1 - slowness)
        for own, current in self._pairs:  # running means of batch normalization
            own.copy_(current)
