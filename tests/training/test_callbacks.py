"""The stopping rule, member by member."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import PassthroughScoring
from skorch.history import History

from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.training.callbacks import MeanOfChunks, Stopping, StopTraining


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

    def run(self, rule, ended_by_another_after=None):
        rule.on_train_begin(self)
        try:
            for epoch, losses in enumerate(self.curves, start=1):
                self.weight.fill_(epoch)
                self.history.append({"valid_member_loss": losses.tolist()})
                if epoch == ended_by_another_after:
                    break
                rule.on_epoch_end(self)
        except StopTraining:
            pass
        rule.on_train_end(self)
        return len(self.history)


def test_stops_after_patience_and_restores():
    net = Net([[3.0], [2.0], [1.0], [1.5], [1.2], [0.1]])
    assert net.run(Stopping(patience=2)) == 5
    assert net.weight.tolist() == [[3, 3]]


def test_without_patience_all_train_to_the_end_and_are_restored():
    net = Net([[3.0, 1.0], [1.0, 2.0], [2.0, 0.5], [2.0, 3.0]])
    assert net.run(Stopping(patience=None)) == 4
    assert net.weight.tolist() == [[2, 2], [3, 3]]


@pytest.mark.parametrize("offset", [0.0, -100.0, 1e6, 1e12])
def test_offsets_do_not_matter(offset):
    net = Net(np.array([[3.0], [2.0], [1.5], [1.6], [1.55], [0.0]]) + offset)
    assert net.run(Stopping(patience=2)) == 5
    assert net.weight.tolist() == [[3, 3]]


def test_a_flat_loss_is_no_progress():
    net = Net([[3.0], [3.0], [3.0], [0.0]])
    rule = Stopping(patience=2)
    assert net.run(rule) == 3
    assert net.weight.tolist() == [[1, 1]]  # the first of equally good epochs
    assert rule.weights_ == {}  # the copy is not kept after training


def test_small_steps_are_progress():
    net = Net(10 - 1e-9 * np.arange(20.0)[:, None])
    assert net.run(Stopping(patience=3)) == 20


def test_members_stop_and_are_restored_one_by_one():
    first = [3.0, 2.0, 2.5, 2.5, 0.5, 0.4]  # stops after its fourth epoch, and is not watched any more
    second = [3.0, 2.9, 2.8, 2.7, 2.6, 2.5]
    net = Net(np.column_stack([first, second]))
    rule = Stopping(patience=2)
    assert net.run(rule) == 6
    assert rule.stopped_.tolist() == [True, False]
    assert net.weight.tolist() == [[2, 2], [6, 6]]


def test_a_loss_that_is_nan_is_no_progress():
    net = Net([[1.0], [np.nan], [np.nan], [0.5]])
    assert net.run(Stopping(patience=2)) == 3
    assert net.weight.tolist() == [[1, 1]]


@pytest.mark.parametrize(("last", "best"), [(0.5, 3), (1.5, 2)])
def test_the_last_epoch_counts_when_another_callback_ends_training(last, best):
    net = Net([[2.0], [1.0], [last], [0.0]])
    assert net.run(Stopping(patience=2), ended_by_another_after=3) == 3
    assert net.weight.tolist() == [[best, best]]


def test_an_unfinished_epoch_does_not_count():
    net, rule = Net([[2.0]]), Stopping(patience=None)
    net.run(rule)
    rule.on_train_begin(net)
    net.history.append({})
    rule.on_train_end(net)
    assert rule.best_.tolist() == [np.inf]


def test_mean_of_chunks_is_weighted_by_their_sizes():
    """As skorch's own callback records it, of a net that has no validation samples in its second epoch."""
    found = []
    for kind in (MeanOfChunks, PassthroughScoring):
        net, history = SimpleNamespace(history=History()), []
        losses = [kind("train_loss", on_train=True).initialize(), kind("valid_loss").initialize()]
        for chunks in ([("train", 3.0, 2), ("train", 1.0, 6), ("valid", 5.0, 1)], [("train", 2.0, 3)]):
            net.history.new_epoch()
            for split, loss, size in chunks:
                net.history.new_batch()
                net.history.record_batch(f"{split}_loss", loss)
                net.history.record_batch(f"{split}_batch_size", size)
            for callback in losses:
                callback.on_epoch_end(net)
            history.append({name: value for name, value in net.history[-1].items() if name != "batches"})
        found.append(history)
    assert (
        found[0]
        == found[1]
        == [
            {"train_loss": 1.5, "train_loss_best": True, "valid_loss": 5.0, "valid_loss_best": True},
            {"train_loss": 2.0, "train_loss_best": False},
        ]
    )
