"""Solvers: optimizers with decoupled weight decay."""

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
    """Abstract base class: creates a torch optimizer.

    Weights of all ensemble members are in the same tensors, (n_members, ...). Elementwise optimizers train the members
    independently; optimizers that use norms or other statistics of whole tensors couple the members.
    """

    @abstractmethod
    def build(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.Optimizer:
        """Create an optimizer that does not change weights without a gradient."""


class Adam(Solver):
    """AdamW: Adam with decoupled weight decay, which is the estimator's ``alpha``.

    Parameters
    ----------
    beta1 : float in [0, 1), default=0.9
        Exponential decay rate for estimates of the first moment in Adam.
    beta2 : float in [0, 1), default=0.999
        Exponential decay rate for estimates of the second moment in Adam.

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
        """Create ``FusedAdam`` if torch's kernel supports the device, otherwise ``torch.optim.AdamW``."""
        optimizer = FusedAdam if weights[0].device.type in _FUSED else torch.optim.AdamW
        return optimizer(weights, lr=lr, betas=(self.beta1, self.beta2), weight_decay=weight_decay)


class SGD(Solver):
    """Stochastic gradient descent with momentum and decoupled weight decay, which is the estimator's ``alpha``.

    Parameters
    ----------
    momentum : float in [0, 1), default=0.9
        Momentum; 0 is plain gradient descent.
    nesterov : bool, default=True
        Whether to use Nesterov's momentum.

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
        """Create the optimizer."""
        return DecoupledSGD(weights, lr, self.momentum, self.nesterov, decay=weight_decay)


class Custom(KeywordPart, Solver):
    """Any torch optimizer, given by its class and arguments.

    It is created by ``optimizer(weights, lr=learning_rate_init, weight_decay=alpha, **kwargs)`` with parameters of the
    estimator; ``weight_decay`` is left out if the optimizer does not take it and ``alpha`` is 0. Its learning rate
    follows the estimator's ``learning_rate``. Optimizers that are not elementwise couple the members of an ensemble.

    Parameters
    ----------
    optimizer : callable
        A class of ``torch.optim``, or a function that returns an optimizer, whose ``step`` must not need a closure.
    **kwargs : dict
        Further arguments. They are parameters of this object, for example ``solver__betas`` in a grid search.

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
        """Create the optimizer."""
        name = f"Custom({getattr(self.optimizer, '__name__', type(self.optimizer).__name__)})"
        settings = {"lr": lr, **self.kwargs}
        accepted = inspect.signature(self.optimizer).parameters
        if "weight_decay" in accepted or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            settings.setdefault("weight_decay", weight_decay)
        elif weight_decay:
            raise ValueError(f"solver={name} does not support weight decay, got alpha={weight_decay:g}; use alpha=0.0.")
        optimizer = self.optimizer(weights, **settings)
        if not isinstance(optimizer, torch.optim.Optimizer):
            kind = type(optimizer).__name__
            raise ValueError(f"solver={name} must return a torch optimizer, got an object of type {kind}.")
        if inspect.signature(optimizer.step).parameters.get("closure", _OPTIONAL).default is inspect.Parameter.empty:
            raise ValueError(
                f"solver={name} needs a closure in each step, which is not supported; use another optimizer."
            )
        return optimizer


_OPTIONAL = inspect.Parameter("closure", inspect.Parameter.KEYWORD_ONLY, default=None)


class DecoupledSGD(torch.optim.SGD):
    """SGD with decoupled weight decay (Loshchilov and Hutter, ICLR 2019)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float, nesterov: bool, decay: float):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0)
        self.defaults["decay"] = decay  # of groups that are added
        for group in self.param_groups:
            group["decay"] = decay

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Decay and update the weights that have a gradient."""
        for group in self.param_groups:
            live = [weight for weight in group["params"] if weight.grad is not None]
            if group["decay"] and live:
                foreach_mul(live, 1 - group["lr"] * group["decay"])
        return super().step(closure)


class _Slot(NamedTuple):
    """Tensors of one parameter that the kernel reads and writes."""

    parameter: nn.Parameter
    weight: torch.Tensor  # the detached parameter, which is updated without torch.no_grad
    mean: torch.Tensor
    square: torch.Tensor
    step: torch.Tensor


class FusedAdam(torch.optim.Optimizer):
    """AdamW by a direct call of torch's fused kernel.

    ``torch.optim.AdamW(fused=True)`` runs the same kernel, but groups the weights before each step, which takes longer
    than the step itself for small networks. Weights without a gradient are not changed.

    On a CUDA device the learning rate is kept there, so that ``update`` can be recorded once and repeated.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": 1e-8})

    def step(self, closure: Any = None) -> Any:
        """Update the weights."""
        loss = None if closure is None else closure()
        self.set_rates()
        self.update()
        return loss

    # Without this mark, torch wraps ``step`` for its profiler and hooks, which takes longer than the step itself.
    step.hooked = True  # type: ignore[attr-defined]

    def set_rates(self) -> None:
        """Copy the learning rates to the device; on the CPU the kernel takes them as numbers."""
        for group, rate in zip(self.param_groups, self._rates, strict=True):
            if rate is not None:
                rate.fill_(group["lr"])

    def update(self) -> None:
        """Update the weights with the rates of the last ``set_rates``."""
        for group, rate, counts, slots in zip(self.param_groups, self._rates, self._counts, self._slots, strict=True):
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
                lr=group["lr"] if rate is None else rate,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def relink(self) -> None:
        """Take over weights whose memory was replaced, as by ``parameter.data = ...`` in a callback."""
        if any(slot.weight.data_ptr() != slot.parameter.data_ptr() for slots in self._slots for slot in slots):
            self._link()

    def fixed(self) -> tuple[Any, ...]:
        """Return what an update depends on besides learning rates and gradients: settings, and where tensors are."""
        settings = tuple((group["betas"], group["weight_decay"], group["eps"]) for group in self.param_groups)
        shared = (*self._counts, *(rate for rate in self._rates if rate is not None))
        places = tuple(
            (slot.parameter.requires_grad, *(tensor.data_ptr() for tensor in (slot.parameter, *slot[1:])))
            for slots in self._slots
            for slot in slots
        )
        return settings, tuple(tensor.data_ptr() for tensor in shared), places

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
        """Load a state, and collect its tensors."""
        super().load_state_dict(state_dict)
        self._link()

    def _link(self) -> None:
        """Collect the tensors of the kernel; step counts of a group become views of one tensor."""
        self._counts, self._slots, self._rates = [], [], []
        for group in self.param_groups:
            states = [self.state[p] for p in group["params"]]
            counts = torch.stack([state["step"] for state in states])
            for state, count in zip(states, counts.unbind(), strict=True):
                state["step"] = count
            self._counts.append(counts)
            self._rates.append(torch.zeros_like(counts[0]) if counts.is_cuda else None)
            self._slots.append(
                [
                    _Slot(p, p.detach(), state["exp_avg"], state["exp_avg_sq"], state["step"])
                    for p, state in zip(group["params"], states, strict=True)
                ]
            )


# Devices for which torch has the fused kernel.
_FUSED = ("cpu", "cuda")

SOLVERS: dict[str, type[Solver]] = {"adam": Adam, "sgd": SGD}
