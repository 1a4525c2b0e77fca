"""Callbacks for early stopping and a progress bar."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch.callbacks import BatchScoring, Callback, Checkpoint, EpochScoring, LRScheduler, PassthroughScoring
from torch import Tensor
from tqdm import tqdm

from sk_autoencoder._torch import foreach_copy

__all__ = ["Callback", "LRScheduler", "MeanOfChunks", "ProgressBar", "StopTraining", "Stopping", "unsupported"]


_MONITORED = "valid_member_loss"


def unsupported(callback: Any) -> str | None:
    """Return why a callback of skorch cannot be used, and what to use instead; None if it can."""
    if isinstance(callback, BatchScoring) or (isinstance(callback, EpochScoring) and callback.use_caching):
        return (
            "reads targets and predictions of mini-batches, which an autoencoder does not have; watch the losses that "
            "are recorded (with X_val, valid_loss), or use EpochScoring(scoring, use_caching=False) with a function "
            "scoring(net, X, y) of the net"
        )
    if isinstance(callback, Checkpoint) and callback.load_best and callback.f_criterion is not None:
        return "loads weights of the objective, which has none; use f_criterion=None, or early_stopping=True instead"
    return None


class StopTraining(Exception):  # noqa: N818 - no error, a signal
    """Raised by a callback to stop training cleanly."""


class MeanOfChunks(PassthroughScoring):
    """Mean of a loss over the chunks of an epoch, weighted by their sizes; indexing the history takes much longer."""

    best_score_: float

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Record the mean, and whether it is the lowest so far."""
        epoch, size = net.history.to_list()[-1], "train_batch_size" if self.on_train else "valid_batch_size"
        chunks = [chunk for chunk in epoch["batches"] if self.name in chunk]
        if not chunks:  # no validation samples
            return
        mean = sum(chunk[self.name] * chunk[size] for chunk in chunks) / sum(chunk[size] for chunk in chunks)
        epoch[self.name], epoch[f"{self.name}_best"] = mean, mean < self.best_score_
        self.best_score_ = min(mean, self.best_score_)


class Stopping(Callback):
    """Early stopping of each member when its validation loss no longer decreases.

    The best weights are restored at the end of training, also after an interruption.

    Parameters
    ----------
    patience : int or None
        Number of epochs without a new minimum after which a member stops. None never stops.
    """

    def __init__(self, patience: int | None):
        self.patience = patience

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Reset the state."""
        members = net.module_.shape.n_members
        self.best_ = np.full(members, np.inf)
        self.stale_ = np.zeros(members, dtype=int)
        self.stopped_ = np.zeros(members, dtype=bool)
        self.weights_: dict[str, Tensor] = {}
        self.n_compared_ = len(net.history)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the loss with the best so far, and stop training when all members have stopped."""
        self._compare(net)
        if self.stopped_.all():
            raise StopTraining

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Restore the best weights and buffers."""
        # If another callback has stopped training at the end of an epoch, ``on_epoch_end`` was not called.
        if self.n_compared_ < len(net.history) and _MONITORED in net.history[-1]:
            self._compare(net)
        if self.weights_:
            net.module_.load_state_dict(self.weights_)
        self.weights_ = {}

    def _compare(self, net: Any) -> None:
        loss = np.array(net.history[-1][_MONITORED])
        better = (loss < self.best_) & ~self.stopped_
        self.best_[better] = loss[better]
        self._keep(net, better)
        self.stale_ = np.where(better, 0, self.stale_ + 1)
        self.stopped_ |= self.stale_ >= (np.inf if self.patience is None else self.patience)
        self.n_compared_ = len(net.history)

    def _keep(self, net: Any, better: np.ndarray) -> None:
        if not better.any() and self.weights_:
            return
        present = net.module_.state_dict()
        if not self.weights_:
            self.weights_ = {name: tensor.clone() for name, tensor in present.items()}
        elif better.all():
            foreach_copy(list(self.weights_.values()), list(present.values()))
        else:
            self._keep_members(net, better, present)

    def _keep_members(self, net: Any, better: np.ndarray, present: dict[str, Tensor]) -> None:
        for member in np.flatnonzero(better).tolist():
            best, now = (net.module_.of_member(tensors, member) for tensors in (self.weights_, present))
            foreach_copy(list(best.values()), list(now.values()))


class ProgressBar(Callback):
    """Progress bar of the training, with the number of epochs, the loss and the remaining time.

    Parameters
    ----------
    name : str, default="fit"
        Text before the bar.
    """

    def __init__(self, name: str = "fit"):
        self.name = name

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = tqdm(total=net.max_epochs, desc=self.name, unit="epoch")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance by one epoch."""
        last = net.history[-1]
        losses = {name: f"{last[key]:.4g}" for name, key in _SHOWN.items() if key in last}
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()


_SHOWN = {"loss": "train_loss", "validation": "valid_loss"}
