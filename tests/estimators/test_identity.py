"""Which trainings are the same: makers and parts by what they do, not by name alone."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import skorch.callbacks
import torch
from torch import nn

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.estimators._identity import _text
from sk_autoencoder.losses import Huber, Loss
from sk_autoencoder.networks import Custom, Dense

MAKERS = """
from functools import partial
from torch import nn

def maker(n_in, n_out, bias=True):
    if n_out in {"a", "b", "c", "d", "e"}:
        return nn.Linear(n_in, n_out)
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Tanh())

class Base(nn.Linear):
    pass

class Encoder(Base):
    slope = 1.0
    def forward(self, rows):
        return super().forward(rows).tanh()
    @staticmethod
    def still():
        return 3
    @property
    def known(self):
        return 5

class Maker:
    def __init__(self, width):
        self.width = width
    def __call__(self, n_in, n_out):
        return nn.Linear(n_in, n_out)
    def make(self, n_in, n_out):
        return nn.Linear(n_in, n_out)

def closed(width):
    def inner(n_in, n_out):
        return inner if n_in == width else nn.Linear(n_in, n_out)
    return inner

by = {"function": maker, "class": Encoder, "object": Maker(3), "method": Maker(3).make, "closure": closed(3),
      "partial": partial(maker, bias=False), "lambda": lambda n_in, n_out: nn.Linear(n_in, n_out), "list": [maker]}
"""
# For each kind of maker, other text for some of the above.
CHANGES = {
    "function": ("nn.Tanh()", "nn.ReLU()"),
    "class": (".tanh()", ".relu()"),
    "object": ("Maker(3)", "Maker(4)"),
    "method": ("Maker(3)", "Maker(4)"),
    "closure": ("closed(3)", "closed(4)"),
    "partial": ("bias=False", "bias=None"),
    "lambda": ("nn.Linear(n_in, n_out)", "nn.Linear(n_in, n_out, bias=False)"),
    "list": ("bias=True", "bias=False"),
}


def makers(text=MAKERS, name="own"):
    space = {"__name__": name}
    exec(text, space)
    return space["by"]


@pytest.mark.parametrize("kind", CHANGES)
def test_another_definition_under_the_same_name(kind):
    changed = makers(MAKERS.replace(*CHANGES[kind]))
    assert _text(makers()[kind]) == _text(makers()[kind])
    assert _text(makers()[kind]) != _text(changed[kind])


@pytest.mark.parametrize(
    "change",
    [
        *[("slope = 1.0", "slope = 2.0"), ("return 3", "return 4"), ("return 5", "return 6"), ("pass", "x = 1")],
        *[("(nn.Linear)", "(nn.Bilinear)"), ("Encoder(Base)", "Encoder(nn.Linear)")],
    ],
)
def test_each_member_and_base_of_a_class_counts(change):
    assert _text(makers()["class"]) != _text(makers(MAKERS.replace(*change))["class"])


@pytest.mark.parametrize("kind", CHANGES)
def test_another_module(kind):
    assert _text(makers()[kind]) != _text(makers(name="other")[kind])


def test_place_in_the_file_and_comments_do_not_matter():
    moved = makers("# first\n\n" + MAKERS.replace("def maker", "# a comment\ndef maker"))
    assert {kind: _text(maker) for kind, maker in makers().items()} == {k: _text(m) for k, m in moved.items()}


def test_texts_are_the_same_in_every_process():
    code = f"{MAKERS}\nfrom sk_autoencoder.estimators._identity import _text\nprint([_text(m) for m in by.values()])"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in "12"
    ]
    assert runs[0] == runs[1] != b""


def test_classes_of_one_name_in_one_file():
    class Wide(Loss):
        def __call__(self, output, target):
            return 2 * (output - target).abs()

    first = Wide

    class Wide(Loss):
        def __call__(self, output, target):
            return 3 * (output - target).abs()

    assert _text(first) != _text(Wide)
    assert _text(first) == _text(first)


def test_own_parts_are_told_by_name():
    """Another release of the package goes on with a training, unless the format says otherwise."""
    assert _text(Huber) == "sk_autoencoder.losses.Huber"
    assert _text([Dense(dropout=0.5)]) == "[Dense(dropout=0.5)]"


def test_objects_without_a_text_of_their_own():
    class Bare:
        pass

    one, two = Bare(), Bare()
    assert _text(one) == _text(two)
    two.width = 3
    assert _text(one) != _text(two)
    assert _text(SimpleNamespace(width=3)) != _text(SimpleNamespace(width=4))


def test_other_values():
    assert _text(0.5) == "0.5"
    assert _text((4, "relu")) == _text([4, "relu"]) != _text((4, "tanh"))
    assert _text({"a": 3}) != _text({"a": 4})
    assert _text(np.random.RandomState(3)) == _text(np.random.RandomState(4))
    assert len(_text("long" * 1000)) < 100
    assert _text("long" * 1000) != _text("long" * 1001)
    assert _text(np.add) == _text(np.add) != _text(np.subtract)
    assert _text(partial(nn.Linear, bias=False)) != _text(partial(nn.Linear, bias=True))


@pytest.mark.parametrize("foreign", [np.linalg.svd, nn.init.orthogonal_, nn.Tanh, torch.zeros, torch.Tensor, len, dict])
def test_callables_of_other_libraries(foreign):
    """Among them some that are not written in Python."""
    assert _text(foreign) == _text(foreign) != _text(nn.Linear)


class Killed(skorch.callbacks.Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            raise ZeroDivisionError


def test_a_maker_of_the_same_name_does_not_resume(rows, tmp_path):
    """Both have the same weights, by name and shape."""

    def fitted(maker, **choice):
        network = Custom(encoder=maker, decoder=maker)
        parameters = {"max_iter": 3, "random_state": 0, "checkpoint": tmp_path, **choice}
        return AutoencoderTransformer(2, network=network, **parameters).fit(rows)

    first, second = makers()["class"], makers(MAKERS.replace(".tanh()", ".relu()"))["class"]
    with pytest.raises(ZeroDivisionError):
        fitted(first, callbacks=[Killed()])
    with pytest.raises(ValueError, match="belongs to another training: network__decoder, network__encoder differ"):
        fitted(second)
    assert fitted(first).n_iter_ == 3
