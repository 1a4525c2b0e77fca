"""Uses of torch's private functions and attributes, which may change in any release."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "bfloat16_on_cpu",
    "convolution_backward",
    "copied",
    "foreach_add",
    "foreach_copy",
    "foreach_lerp",
    "foreach_mul",
    "fused_adamw",
    "has_hooks",
    "linear",
]

SomeModule = TypeVar("SomeModule", bound=nn.Module)

# In-place operations on lists of tensors.
foreach_add = torch._foreach_add_
foreach_copy = torch._foreach_copy_
foreach_lerp = torch._foreach_lerp_
foreach_mul = torch._foreach_mul_
fused_adamw = torch._fused_adamw_


def linear(rows: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Compute ``activation(rows @ weight.mT + bias)`` with oneDNN; the activation is "none" or "relu"."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "")


def convolution_backward(
    gradient: Tensor, maps: Tensor, kernel: Tensor, options: tuple[Any, ...], wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the wanted gradients of ``torch.convolution``: of the feature maps, of the kernel and of the bias.

    ``options`` are its arguments after the bias.
    """
    return torch.ops.aten.convolution_backward(gradient, maps, kernel, [gradient.shape[1]], *options, wanted)


def bfloat16_on_cpu() -> bool:
    """Whether the CPU has instructions for bfloat16 matrix products."""
    return torch.cpu._is_avx512_bf16_supported()


def has_hooks(tensor: Tensor) -> bool:
    """Whether a tensor has hooks that autograd calls with the gradient."""
    return bool(tensor._backward_hooks or tensor._post_accumulate_grad_hooks)


def has_module_hooks(module: torch.nn.Module) -> bool:
    """Whether a module has hooks that are called with its inputs, outputs or gradients."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def copied(module: SomeModule) -> SomeModule:
    """Return a shallow copy with empty dicts of parameters and submodules, which ``copy.copy`` would share."""
    result = copy.copy(module)
    result._parameters, result._modules = {}, {}
    return result
