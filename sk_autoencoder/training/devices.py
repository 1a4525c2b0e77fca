"""Which device and which number type a network runs on."""

from __future__ import annotations

import torch


def resolve_device(choice: str) -> torch.device:
    """Turn "auto" or a torch device string into a device that this machine has."""
    if choice == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(choice)
    except RuntimeError as error:
        raise ValueError(
            f"device={choice!r} is no torch device; use 'auto', 'cpu', 'cuda' or 'cuda:<index>'."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device={choice!r} was asked for, but torch finds no CUDA device; use device='auto' or 'cpu'."
        )
    return device


def available_device(choice: str) -> torch.device:
    """The device a stored model opens on: the one it asks for, or the CPU where there is no such device."""
    try:
        return resolve_device(choice)
    except ValueError:
        return torch.device("cpu")
