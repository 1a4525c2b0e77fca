"""Everything that touches private parts of torch, which any release may change or drop."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = [
    "bfloat16_on_cpu",
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

# In-place operations on lists of tensors, one call for all of them.
foreach_add = torch._foreach_add_
foreach_copy = torch._foreach_copy_
foreach_lerp = torch._foreach_lerp_
foreach_mul = torch._foreach_mul_
fused_adamw = torch._fused_adamw_


def linear(rows: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    """Return ``activation(rows @ weight.mT + bias)`` by oneDNN; the activation is "none" or "relu"."""
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], "")


def bfloat16_on_cpu() -> bool:
    """Whether the processor multiplies matrices of bfloat16."""
    return torch.cpu._is_avx512_bf16_supported()


def has_hooks(tensor: Tensor) -> bool:
    """Whether a tensor has hooks that autograd calls with its gradient."""
    return bool(tensor._backward_hooks)


def copied(module: SomeModule) -> SomeModule:
    """Return a shallow copy without the module's parameters and children, whose dicts ``copy.copy`` shares."""
    result = copy.copy(module)
    result._parameters, result._modules = {}, {}
    return result
