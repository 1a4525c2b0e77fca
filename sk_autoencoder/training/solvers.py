"""Optimizers with decoupled weight decay, and learning rates as functions of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn


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


class FusedAdam(torch.optim.Optimizer):
    """AdamW by one direct call of torch's fused kernel.

    ``torch.optim.AdamW(fused=True)`` runs the same kernel, but regroups all weights before each step, which takes
    longer than the step of a small network.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})
        for group in self.param_groups:
            for p in group["params"]:
                step = torch.zeros((), dtype=torch.float32, device=p.device)
                self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        self._slots: list[tuple[list[Tensor], ...]] = []

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update all weights."""
        loss = None if closure is None else closure()
        if not self._slots:
            self._slots = [_slots(self.state, group["params"]) for group in self.param_groups]
        for group, (steps, means, squares) in zip(self.param_groups, self._slots, strict=True):
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                group["params"],
                [p.grad for p in group["params"]],
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, which replaces the tensors that steps write to."""
        super().load_state_dict(state_dict)
        self._slots = []


def _slots(state: Any, weights: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Collect step counts and both moments of some weights."""
    return tuple([state[p][name] for p in weights] for name in ("step", "exp_avg", "exp_avg_sq"))


# Devices for which torch has the fused kernel; others take the plain optimizer.
_FUSED = ("cpu", "cuda")


def adam(params: Iterable[nn.Parameter], lr: float, momentum: float, alpha: float) -> torch.optim.Optimizer:
    """AdamW; ``momentum`` is the decay of its first moment."""
    weights = list(params)
    optimizer = FusedAdam if weights[0].device.type in _FUSED else torch.optim.AdamW
    return optimizer(weights, lr=lr, betas=(momentum, 0.999), weight_decay=alpha)


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
