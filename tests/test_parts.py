"""Parts and their resolution."""

import pickle

import pytest
from sklearn.base import clone

from sk_autoencoder._parts import Part, resolve
from sk_autoencoder.corruptions import CORRUPTIONS, Masking


class Plain(Part):
    _parameter_constraints = {"size": [int]}  # noqa: RUF012  scikit-learn's own form

    def __init__(self, size=1):
        self.size = size


def test_get_set_clone_repr():
    part = Plain(size=3)
    assert part.get_params() == {"size": 3}
    assert part.set_params(size=4) is part
    assert repr(clone(part)) == "Plain(size=4)"
    assert pickle.loads(pickle.dumps(part)).size == 4


def test_resolve_makes_a_validated_copy():
    part = Plain(2)
    assert resolve({"plain": Plain}, "plain").size == 1
    made = resolve({"plain": Plain}, part)
    assert made is not part
    assert made.size == 2


def test_resolve_checks_parameters():
    with pytest.raises(ValueError, match="The 'size' parameter of Plain must be an instance of 'int'"):
        resolve({"plain": Plain}, Plain("big"))


def test_names_stand_for_defaults():
    assert resolve(CORRUPTIONS, "masking").get_params() == Masking().get_params()
