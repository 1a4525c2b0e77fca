"""Greedy layer-wise pretraining: each layer is trained on the codes of the previous layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from sk_autoencoder.losses import SquaredError
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.networks.base import filled, with_indicators
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.training.callbacks import ProgressBar
from sk_autoencoder.training.net import AutoencoderNet
from sk_autoencoder.training.rows import RowDataset
from sk_autoencoder.training.seeding import stage_seed


class CodeDataset(RowDataset):
    """Codes of the previous layers, computed when they are accessed."""

    def __init__(self, rows: RowDataset, below: list[Autoencoder]):
        # Codes have no bounds and no missing values. Inputs of the previous layers are training samples, which are
        # within their bounds.
        bounds, fill, indicators = (None, None, ()) if below else (rows.bounds, rows.fill, rows.indicators)
        super().__init__(rows.X, rows.scaler, rows.positions, rows.source, bounds, fill, rows.weight, indicators)
        self.below, self.inputs = below, rows

    def take(self, index: np.ndarray | slice) -> Tensor:
        """Return the codes of samples, (n_members, n, width)."""
        codes = super().take(index)
        if self.below and self.inputs.fill is not None:
            observed = ~codes.isnan()
            codes = with_indicators(filled(codes, self.inputs.fill), observed, self.inputs.indicators)
        with torch.no_grad():
            for stage in self.below:
                codes = stage.encode(codes)
        return codes


def split_epochs(epochs: int, n_stages: int) -> tuple[int, int]:
    """Return the epochs of each layer, about half of all in equal shares, and of the whole network, at least 1 each."""
    each = max(1, epochs // (2 * n_stages))
    return each, max(1, epochs - each * n_stages)


def pretrain(
    net: AutoencoderNet, rows: RowDataset, *, epochs: int, show: bool | int, **options: Any
) -> list[list[float]]:
    """Train the layers one after the other in place, each for ``epochs`` epochs, and return their loss curves.

    The first layer is trained with the loss of the plan, the others with the squared error of their inputs. With
    ``show``, each layer has a progress bar.
    """
    curves = []
    stages = net.module_.stages()
    for layer, stage in enumerate(stages):
        loss = net.plan.loss if layer == 0 else SquaredError()
        corruption = net.plan.corruption
        if layer > 0 and corruption is not None:
            corruption = clone(corruption)  # codes do not have the shape of the samples
        plan = replace(net.plan, loss=loss, corruption=corruption, seed=stage_seed(net.plan.seed, layer))
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
