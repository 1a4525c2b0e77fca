"""Activations by name."""

import pytest
import torch

from sk_autoencoder.networks.activations import ACTIVATIONS, IN_PLACE


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_gives_the_same_bits(name):
    x = torch.linspace(-5, 5, 100, device="cpu")
    expected = ACTIVATIONS[name](x)
    assert IN_PLACE[name](x) is x
    assert torch.equal(x, expected)
