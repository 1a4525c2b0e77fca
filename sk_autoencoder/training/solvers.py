"""Optimizers with decoupled weight decay, and learning rates as functions of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import cos, pi
from typing import Any

import torch
from torch import nn


class DecoupledSGD(torch.optim.SGD):
    """SGD with Nesterov momentum whose weight decay bypasses the momentum (Loshchilov and Hutter, ICLR 2019)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, decay: float):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=momentum > 0)
        self.decay = decay

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Shrink the weights, then follow the gradient."""
        if self.decay:
            for group in self.param_groups:
                torch._foreach_mul_(group["params"], 1 - group["lr"] * self.decay)
        return super().step(closure)


def adam(params: Iterable[nn.Parameter], lr: float, momentum: float, alpha: float) -> torch.optim.Optimizer:
    """AdamW in one fused kernel for all weights."""
    return torch.optim.AdamW(params, lr=lr, betas=(momentum, 0.999), weight_decay=alpha, fused=True)


def sgd(params: Iterable[nn.Parameter], lr: float, momentum: float, alpha: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum."""
    return DecoupledSGD(params, lr=lr, momentum=momentum, decay=alpha)


SOLVERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": adam, "sgd": sgd}


def constant(progress: float) -> float:
    """Stay at ``learning_rate_init``."""
    del progress
    return 1.0


def cosine(progress: float) -> float:
    """Fall along half a cosine to zero (Loshchilov and Hutter, ICLR 2017)."""
    return 0.5 * (1.0 + cos(pi * progress))


_WARM_UP = 0.3


def onecycle(progress: float) -> float:
    """Rise from 1/25 to 1 over the first 30 % of the steps, then fall to zero, both along cosines (Smith, 2018)."""
    if progress < _WARM_UP:
        return 1.0 - (1.0 - 1 / 25) * cosine(progress / _WARM_UP)
    return cosine((progress - _WARM_UP) / (1.0 - _WARM_UP))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine, "onecycle": onecycle}
