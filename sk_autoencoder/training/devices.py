"""Selection of the device and the precision of a network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from sk_autoencoder._torch import bfloat16_on_cpu
from sk_autoencoder._warnings import warn


def resolve_device(choice: str | torch.device) -> torch.device:
    """Return the torch device for "auto", a name or a device; raise an error if it is missing or not supported."""
    present = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    present += [f"cuda:{index}" for index in range(torch.cuda.device_count())] if len(present) > 1 else []
    name = "cpu" if str(choice) == "cpu:0" else str(choice)
    if name == "auto":
        return torch.device(present[1] if len(present) > 1 else "cpu")
    if name not in present:
        raise ValueError(f"device={name!r} {_fault(name)}; use one of {', '.join(map(repr, ['auto', *present]))}.")
    return torch.device(name)


def _fault(name: str) -> str:
    """Return the reason why a device cannot be used."""
    try:
        kind = torch.device(name).type
    except RuntimeError:
        return "is not a torch device"
    if kind == "cuda" and not torch.cuda.is_available():
        return "was asked for, but torch finds no CUDA device"
    if kind in ("cpu", "cuda"):
        return "was asked for, but this machine has no such device"
    return "is not supported: networks run on the CPU and on CUDA devices"


def mixed_precision(choice: str, device: torch.device) -> bool:
    """Whether to train in bfloat16; warn if it was chosen but the device does not support it."""
    if choice != "bfloat16":
        return False
    supported = torch.cuda.is_bf16_supported() if device.type == "cuda" else bfloat16_on_cpu()
    if not supported:
        warn(
            f"precision='bfloat16' needs instructions that this {device.type} device lacks; float32 is used instead.",
        )
    return supported


def free_memory(device: torch.device) -> int:
    """Free memory of a CUDA device in bytes; 0 for the CPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def repeatable(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which cuDNN uses deterministic algorithms only."""
    if device.type != "cuda":
        return nullcontext()
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32)


def available_device(choice: str | torch.device) -> torch.device:
    """Return the device on which a stored model is loaded: the chosen one, or the CPU if it is not available."""
    try:
        return resolve_device(choice)
    except ValueError:
        return torch.device("cpu")
