"""Callbacks of the engine: stopping with the best weights restored, and a progress bar."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch.callbacks import Callback, LRScheduler
from torch import Tensor
from tqdm import tqdm

from sk_autoencoder._torch import foreach_copy

__all__ = ["Callback", "LRScheduler", "ProgressBar", "StopTraining", "Stopping"]


class StopTraining(Exception):  # noqa: N818 - no error, a signal
    """Raised by a callback to end training in good order."""


class Stopping(Callback):
    """Stop each member once its loss no longer falls by ``tol``, and give it back its best weights.

    Parameters
    ----------
    monitor : {"train", "valid"}
        The loss that is watched.
    tol : float
        The smallest fall that counts, absolute, so that negative losses work too.
    patience : int or None
        Epochs without such a fall before a member stops; None lets all train to the end.
    restore : bool
        Whether the best weights come back when training ends, however it ends.
    """

    def __init__(self, monitor: str, tol: float, patience: int | None, restore: bool):
        self.monitor = monitor
        self.tol = tol
        self.patience = patience
        self.restore = restore

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Forget earlier trainings."""
        members = net.module_.shape.n_members
        self.threshold_ = np.full(members, np.inf)  # the loss that the next epochs have to undercut by tol
        self.best_ = np.full(members, np.inf)
        self.stale_ = np.zeros(members, dtype=int)
        self.stopped_ = np.zeros(members, dtype=bool)
        self.weights_: dict[str, Tensor] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare this epoch's loss with the best so far."""
        loss = np.array(net.history[-1][f"{self.monitor}_member_loss"])
        better = (loss < self.best_) & ~self.stopped_
        self.best_[better] = loss[better]
        if self.restore:
            self._keep(net, better)

        falls = loss < self.threshold_ - self.tol
        self.threshold_ = np.where(falls, loss, self.threshold_)
        self.stale_ = np.where(falls, 0, self.stale_ + 1)
        self.stopped_ |= self.stale_ >= (np.inf if self.patience is None else self.patience)
        if self.stopped_.all():
            raise StopTraining

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Restore the best weights, and the running means that belong to them."""
        if self.weights_:
            net.module_.load_state_dict(self.weights_)
        self.weights_ = {}

    def _keep(self, net: Any, better: np.ndarray) -> None:
        present = net.module_.state_dict()
        if not self.weights_:
            self.weights_ = {name: tensor.clone() for name, tensor in present.items()}
        for member in np.flatnonzero(better).tolist():
            best, now = (net.module_.of_member(tensors, member) for tensors in (self.weights_, present))
            foreach_copy(list(best.values()), list(now.values()))


class ProgressBar(Callback):
    """One bar for the whole training: epochs, loss and time left.

    Parameters
    ----------
    name : str, default="fit"
        What stands before the bar.
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
