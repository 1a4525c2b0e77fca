"""The stopping rule, member by member."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.training.callbacks import Stopping, StopTraining


class Net:
    """As much of a net as the rule looks at: losses by member, and weights that count the epochs."""

    def __init__(self, curves):
        self.curves = np.array(curves, dtype=float)  # (n_epochs, n_members)
        shape = SimpleNamespace(n_members=self.curves.shape[1])
        self.module_ = Autoencoder(shape)
        self.module_.register_buffer("weight", torch.zeros(self.curves.shape[1], 2))
        self.history = []

    @property
    def weight(self):
        return self.module_.weight

    def run(self, rule):
        rule.on_train_begin(self)
        try:
            for epoch, losses in enumerate(self.curves, start=1):
                self.weight.fill_(epoch)
                self.history.append({"valid_member_loss": losses.tolist()})
                rule.on_epoch_end(self)
        except StopTraining:
            pass
        rule.on_train_end(self)
        return len(self.history)


def test_stops_after_patience_and_restores():
    net = Net([[3.0], [2.0], [1.0], [1.5], [1.2], [0.1]])
    assert net.run(Stopping("valid", tol=0.0, patience=2, restore=True)) == 5
    assert net.weight.tolist() == [[3, 3]]


def test_without_patience_all_train_to_the_end_and_are_restored():
    net = Net([[3.0, 1.0], [1.0, 2.0], [2.0, 0.5], [2.0, 3.0]])
    assert net.run(Stopping("valid", tol=0.0, patience=None, restore=True)) == 4
    assert net.weight.tolist() == [[2, 2], [3, 3]]


def test_keeps_the_last_weights_when_not_asked_to_restore():
    net = Net([[3.0], [2.0], [2.5], [2.5]])
    assert net.run(Stopping("valid", tol=0.0, patience=2, restore=False)) == 4
    assert net.weight.tolist() == [[4, 4]]


@pytest.mark.parametrize("offset", [0.0, -100.0, 1e6, 1e12])
def test_offsets_do_not_matter(offset):
    net = Net(np.array([[3.0], [2.0], [1.5], [1.4], [1.39], [0.0]]) + offset)
    assert net.run(Stopping("valid", tol=0.2, patience=2, restore=True)) == 5
    assert net.weight.tolist() == [[5, 5]]  # the best, though it gained less than tol


@pytest.mark.parametrize("tol", [0.0, 0.5])
def test_a_flat_loss_is_no_progress(tol):
    net = Net([[3.0], [3.0], [3.0], [0.0]])
    rule = Stopping("valid", tol=tol, patience=2, restore=True)
    assert net.run(rule) == 3
    assert net.weight.tolist() == [[1, 1]]  # the first of equally good epochs
    assert rule.weights_ == {}  # the copy is not kept after training


def test_small_steps_add_up():
    net = Net(10 - 0.3 * np.arange(20.0)[:, None])
    assert net.run(Stopping("valid", tol=0.5, patience=3, restore=False)) == 20


def test_members_stop_and_are_restored_one_by_one():
    first = [3.0, 2.0, 2.5, 2.5, 0.5, 0.4]  # stops after its fourth epoch, and is not watched any more
    second = [3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
    net = Net(np.column_stack([first, second]))
    rule = Stopping("valid", tol=0.0, patience=2, restore=True)
    assert net.run(rule) == 6
    assert rule.stopped_.tolist() == [True, False]
    assert net.weight.tolist() == [[2, 2], [6, 6]]


def test_a_loss_that_is_nan_is_no_progress():
    net = Net([[1.0], [np.nan], [np.nan], [0.5]])
    assert net.run(Stopping("valid", tol=0.0, patience=2, restore=True)) == 3
    assert net.weight.tolist() == [[1, 1]]
