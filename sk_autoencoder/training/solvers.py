"""Optimizers with decoupled weight decay, and learning rates as functions of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import cos, pi
from typing import Any

import torch
from torch import nn

from sk_autoencoder._torch import foreach_add, foreach_mul, fused_adamw


class DecoupledSGD(torch.optim.SGD):
    """SGD with Nesterov momentum whose weight decay bypasses the momentum (Loshchilov and Hutter, ICLR 2019)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, decay: float):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=momentum > 0)
        for group in self.param_groups:
            group["decay"] = decay

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Shrink the weights, then follow the gradient; weights without one stay as they are."""
        for group in self.param_groups:
            live = [weight for weight in group["params"] if weight.grad is not None]
            if group["decay"] and live:
                foreach_mul(live, 1 - group["lr"] * group["decay"])
        return super().step(closure)


class FusedAdam(torch.optim.Optimizer):
    """AdamW by one direct call of torch's fused kernel.

    ``torch.optim.AdamW(fused=True)`` runs the same kernel, but regroups all weights before each step, which takes
    longer than the step of a small network. Weights without a gradient stay as they are.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})
        for group in self.param_groups:
            for p in group["params"]:
                step = torch.zeros((), dtype=torch.float32, device=p.device)
                self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        self._link()

    def step(self, closure: Any = None) -> Any:
        """Update all weights."""
        loss = None if closure is None else closure()
        for group, counts, slots in zip(self.param_groups, self._counts, self._slots, strict=True):
            live = [slot for slot in slots if slot[0].grad is not None]
            if not live:
                continue
            if len(live) == len(slots):
                counts.add_(1)
            else:
                foreach_add([slot[4] for slot in live], 1)
            fused_adamw(
                [slot[1] for slot in live],
                [slot[0].grad for slot in live],
                [slot[2] for slot in live],
                [slot[3] for slot in live],
                [],
                [slot[4] for slot in live],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return loss

    # torch wraps every ``step`` that is not marked, for its profiler and hooks; that takes longer than the step itself.
    step.hooked = True  # type: ignore[attr-defined]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, which replaces the tensors that steps write to."""
        super().load_state_dict(state_dict)
        self._link()

    def _link(self) -> None:
        """Collect what the kernel writes to; the step counts of a group are views of one tensor."""
        self._counts, self._slots = [], []
        for group in self.param_groups:
            states = [self.state[p] for p in group["params"]]
            counts = torch.stack([state["step"] for state in states])
            for state, count in zip(states, counts.unbind(), strict=True):
                state["step"] = count
            moments = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
            weights = [p.detach() for p in group["params"]]  # need no torch.no_grad
            self._counts.append(counts)
            self._slots.append(list(zip(group["params"], weights, *moments, strict=True)))


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
