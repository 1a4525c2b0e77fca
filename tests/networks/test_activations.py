"""Activations by name."""

import pytest
import torch

from sk_autoencoder.networks.activations import ACTIVATIONS


@pytest.mark.parametrize("name", [name for name, activation in ACTIVATIONS.items() if activation.in_place])
def test_in_place_gives_the_same_bits(name):
    x = torch.linspace(-5, 5, 100, device="cpu")
    expected = ACTIVATIONS[name].function(x)
    assert ACTIVATIONS[name].in_place(x) is x
    assert torch.equal(x, expected)
