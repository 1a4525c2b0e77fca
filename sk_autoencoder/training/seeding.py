"""Private random streams. A stream is a function of (seed, member, epoch), so training can be resumed anywhere."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator

_STREAMS = 2  # weights and nothing for epoch 0; row order and noise for every later one


def epoch_seeds(seed: int, epoch: int, n_members: int) -> np.ndarray:
    """Return (n_members, 2) seeds; a member's seeds do not depend on how many members there are."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(n_members * _STREAMS, np.uint64)
    return words.reshape(n_members, _STREAMS)


def seeded(seeds: np.ndarray, device: torch.device) -> list[Generator]:
    """One generator on the device for each seed."""
    return [Generator(device=device).manual_seed(int(seed >> np.uint64(1))) for seed in seeds]


def stage_seed(seed: int, stage: int) -> int:
    """The seed of a stage of pretraining, which is a training of its own."""
    return int(np.random.SeedSequence([seed], spawn_key=(stage,)).generate_state(1)[0])


def weight_generators(seed: int, n_members: int) -> list[Generator]:
    """Generators of the initial weights; always on the CPU, so that every device starts alike."""
    return seeded(epoch_seeds(seed, 0, n_members)[:, 0], torch.device("cpu"))
