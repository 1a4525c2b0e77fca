"""Greedy pretraining: each layer learns alone, on what the layers below make of the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sk_autoencoder.losses import SquaredError
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.training.callbacks import ProgressBar
from sk_autoencoder.training.net import AutoencoderNet
from sk_autoencoder.training.rows import RowDataset
from sk_autoencoder.training.seeding import stage_seed


class CodeDataset(RowDataset):
    """Rows as the layers below return them, computed when they are taken."""

    def __init__(self, rows: RowDataset, below: list[Autoencoder]):
        # Codes have no bounds; training samples, which the layers below see, lie inside theirs.
        super().__init__(rows.X, rows.scaler, rows.positions, rows.source, None if below else rows.bounds)
        self.below = below

    def take(self, index: np.ndarray | slice) -> Tensor:
        """Return (n_members, n, width) codes."""
        codes = super().take(index)
        with torch.no_grad():
            for stage in self.below:
                codes = stage.encode(codes)
        return codes


def split_epochs(epochs: int, n_stages: int) -> tuple[int, int]:
    """Epochs of each layer and of the whole: half of them for all layers together, and one at least."""
    each = max(1, epochs // (2 * n_stages))
    return each, max(1, epochs - each * n_stages)


def pretrain(
    net: AutoencoderNet, rows: RowDataset, *, epochs: int, show: bool | int, **options: Any
) -> list[list[float]]:
    """Train one layer after the other in place, each for some epochs, and return the loss curve of each.

    The first layer learns with the plan's loss, the others with the squared error of the codes that they are given.
    With ``show``, each layer has a progress bar that names it.
    """
    curves = []
    stages = net.module_.stages()
    for layer, stage in enumerate(stages):
        loss = net.plan.loss if layer == 0 else SquaredError()
        plan = replace(net.plan, loss=loss, seed=stage_seed(net.plan.seed, layer))
        callbacks = [ProgressBar(f"layer {layer + 1} of {len(stages)}")] if show else []
        shallow = AutoencoderNet(
            stage,
            Reconstruction(trim=net.criterion_.trim),
            plan=plan,
            lr=net.lr,
            callbacks=callbacks,
            device=net.device,
            train_split=None,
        ).initialize()
        shallow.train(CodeDataset(rows, stages[:layer]), None, epochs=epochs, **options)
        curves.append(shallow.history[:, "train_loss"])
    return curves
