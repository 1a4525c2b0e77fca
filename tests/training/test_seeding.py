"""Random streams are functions of seed, member and epoch."""

import numpy as np
import torch

from sk_autoencoder.training.seeding import epoch_seeds, seeded, weight_generators


def test_seeds_differ_by_seed_epoch_member_and_stream():
    seeds = [epoch_seeds(seed, epoch, 4) for seed in range(3) for epoch in range(5)]
    assert len(np.unique(seeds)) == 3 * 5 * 4 * 2


def test_seeds_of_a_member_do_not_depend_on_the_others():
    np.testing.assert_array_equal(epoch_seeds(1, 2, 5)[:3], epoch_seeds(1, 2, 3))


def test_streams_repeat_and_are_private():
    before = torch.get_rng_state()
    first, second = (torch.rand(4, generator=seeded(epoch_seeds(1, 2, 1)[:, 0], torch.device("cpu"))[0]) for _ in "ab")
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_weight_generators_are_on_the_cpu():
    assert [generator.device.type for generator in weight_generators(0, 2)] == ["cpu", "cpu"]
