"""Solvers: optimizers of a network's weights, with decoupled weight decay."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from sk_autoencoder._parts import KeywordPart, Part
from sk_autoencoder._torch import foreach_add, foreach_mul, fused_adamw
from sk_autoencoder._validation import reals

__all__ = ["SGD", "SOLVERS", "Adam", "Custom", "Solver"]


class Solver(Part):
    """Abstract: an optimizer of weights.

    The members of an ensemble share their tensors, (n_members, ...). An optimizer that updates each weight by its own
    gradients trains each member as if it were alone; one that looks at whole tensors does not.
    """

    @abstractmethod
    def build(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Return an optimizer that leaves weights without a gradient as they are."""


class Adam(Solver):
    """AdamW: Adam with decoupled weight decay, the ``alpha`` of the estimator.

    Parameters
    ----------
    beta1 : float in [0, 1), default=0.9
        Decay of the running mean of the gradients.
    beta2 : float in [0, 1), default=0.999
        Decay of the running mean of their squares.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.solvers import Adam
    >>> AutoencoderTransformer(2, solver=Adam(beta1=0.8))
    AutoencoderTransformer(n_components=2, solver=Adam(beta1=0.8))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"beta1": [reals(0, 1)], "beta2": [reals(0, 1)]}

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999):
        self.beta1 = beta1
        self.beta2 = beta2

    def build(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Return torch's fused kernel where the device has one, else its plain optimizer."""
        optimizer = FusedAdam if weights[0].device.type in _FUSED else torch.optim.AdamW
        return optimizer(weights, lr=lr, betas=(self.beta1, self.beta2), weight_decay=weight_decay)


class SGD(Solver):
    """Stochastic gradient descent with momentum; weight decay, the ``alpha`` of the estimator, is decoupled.

    Parameters
    ----------
    momentum : float in [0, 1), default=0.9
        Decay of the running sum of the gradients.
    nesterov : bool, default=True
        Whether momentum is Nesterov's.

    References
    ----------
    I. Sutskever et al., "On the Importance of Initialization and Momentum in Deep Learning", ICML 2013.

    Examples
    --------
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.solvers import SGD
    >>> AutoencoderTransformer(2, solver=SGD(momentum=0.5))
    AutoencoderTransformer(n_components=2, solver=SGD(momentum=0.5))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"momentum": [reals(0, 1)], "nesterov": ["boolean"]}

    def __init__(self, momentum: float = 0.9, nesterov: bool = True):
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return DecoupledSGD(weights, lr, self.momentum, self.nesterov, decay=weight_decay)


class Custom(KeywordPart, Solver):
    """Any torch optimizer, by its class and arguments.

    It is called as ``optimizer(weights, lr=lr, weight_decay=alpha, **kwargs)`` with the learning rate and ``alpha`` of
    the estimator. The schedule ``learning_rate`` sets its rate. Optimizers that look at whole tensors, not at single
    weights, mix the members of an ensemble.

    Parameters
    ----------
    optimizer : callable
        A class of ``torch.optim``, or a function, that makes an optimizer. Its ``step`` must not need a closure.
    **kwargs : dict
        Further arguments; they can be searched as ``solver__<name>``.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_wine
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> from sk_autoencoder.solvers import Custom
    >>> solver = Custom(torch.optim.NAdam, betas=(0.8, 0.99))
    >>> AutoencoderTransformer(2, solver=solver, max_iter=5, random_state=0).fit_transform(load_wine().data).shape
    (178, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"optimizer": [callable]}

    def __init__(self, optimizer: Callable[..., torch.optim.Optimizer], **kwargs: Any):
        self.optimizer = optimizer
        self.kwargs = kwargs

    def build(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Make the optimizer."""
        name = f"Custom({getattr(self.optimizer, '__name__', type(self.optimizer).__name__)})"
        settings = {"lr": lr, **self.kwargs}
        accepted = inspect.signature(self.optimizer).parameters
        if "weight_decay" in accepted or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            settings.setdefault("weight_decay", weight_decay)
        elif weight_decay:
            raise ValueError(f"solver={name} takes no weight_decay, but alpha={weight_decay:g}; use alpha=0.0.")
        optimizer = self.optimizer(weights, **settings)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ValueError(f"solver={name} made an object of type {type(optimizer).__name__}, no torch optimizer.")
        if inspect.signature(optimizer.step).parameters.get("closure", _OPTIONAL).default is inspect.Parameter.empty:
            raise ValueError(
                f"solver={name} needs a closure in each step, which mini-batches do not give; use another."
            )
        return optimizer


_OPTIONAL = inspect.Parameter("closure", inspect.Parameter.KEYWORD_ONLY, default=None)


class DecoupledSGD(torch.optim.SGD):
    """SGD whose weight decay bypasses the momentum (Loshchilov and Hutter, ICLR 2019)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, nesterov: bool, decay: float):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)
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


class _Slot(NamedTuple):
    """What the kernel reads and writes for one parameter."""

    parameter: nn.Parameter
    weight: torch.Tensor  # the parameter, detached, so that writing to it needs no torch.no_grad
    mean: torch.Tensor
    square: torch.Tensor
    step: torch.Tensor


class FusedAdam(torch.optim.Optimizer):
    """AdamW by one direct call of torch's fused kernel.

    ``torch.optim.AdamW(fused=True)`` runs the same kernel, but regroups all weights before each step, which takes
    longer than the step of a small network. Weights without a gradient stay as they are.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})

    def step(self, closure: Any = None) -> Any:
        """Update all weights."""
        loss = None if closure is None else closure()
        for group, counts, slots in zip(self.param_groups, self._counts, self._slots, strict=True):
            live = [slot for slot in slots if slot.parameter.grad is not None]
            if not live:
                continue
            if len(live) == len(slots):
                counts.add_(1)  # one addition for all: the counts of single weights are views
            else:
                foreach_add([slot.step for slot in live], 1)
            fused_adamw(
                [slot.weight for slot in live],
                [slot.parameter.grad for slot in live],  # type: ignore[misc]
                [slot.mean for slot in live],
                [slot.square for slot in live],
                [],
                [slot.step for slot in live],
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._link()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add weights, with a state of their own."""
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            step = torch.zeros((), dtype=torch.float32, device=p.device)
            self.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        self._link()

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
            self._counts.append(counts)
            self._slots.append(
                [
                    _Slot(p, p.detach(), state["exp_avg"], state["exp_avg_sq"], state["step"])
                    for p, state in zip(group["params"], states, strict=True)
                ]
            )


# Devices for which torch has the fused kernel; others take the plain optimizer.
_FUSED = ("cpu", "cuda")

SOLVERS: dict[str, type[Solver]] = {"adam": Adam, "sgd": SGD}
