"""Seeds and generators. They depend only on (seed, member, epoch), so that training can be resumed at any epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator

_STREAMS = 2  # per member and epoch: sample order and noise, or, in epoch 0, initial weights and an unused stream


def epoch_seeds(seed: int, epoch: int, n_members: int, *stream: int) -> np.ndarray:
    """Return the seeds of an epoch, (n_members, 2); those of a member do not depend on the number of members."""
    words = np.random.SeedSequence([seed, epoch], spawn_key=stream).generate_state(n_members * _STREAMS, np.uint64)
    return words.reshape(n_members, _STREAMS)


def seeded(seeds: np.ndarray, device: torch.device) -> list[Generator]:
    """Return one generator on the device for each seed."""
    return [Generator(device=device).manual_seed(int(seed >> np.uint64(1))) for seed in seeds]


def stage_seed(seed: int, stage: int) -> int:
    """Return the seed of a stage of layerwise pretraining."""
    return int(np.random.SeedSequence([seed], spawn_key=(stage,)).generate_state(1)[0])


def weight_generators(seed: int, n_members: int) -> list[Generator]:
    """Return the generators of initial weights; always on the CPU, so that the weights do not depend on the device."""
    return seeded(epoch_seeds(seed, 0, n_members)[:, 0], torch.device("cpu"))
