"""Learning-rate schedule, number of epochs and patience of a training, and warnings after it."""

from __future__ import annotations

from typing import Any

from sklearn.exceptions import ConvergenceWarning

from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators import _auto
from sk_autoencoder.training import SCHEDULES, AutoencoderNet, Schedule
from sk_autoencoder.training.callbacks import LRScheduler, Stopping
from sk_autoencoder.training.schedules import constant


def schedule(estimator: Any) -> Schedule:
    """Return the learning-rate schedule; "constant", with a warning, if the callbacks contain a scheduler."""
    choice = estimator._plain("learning_rate")
    chosen = SCHEDULES[choice] if isinstance(choice, str) else choice
    schedulers = [callback for _, callback in estimator.net_.callbacks_ if isinstance(callback, LRScheduler)]
    if chosen is constant or not schedulers:
        return chosen
    warn(
        f"callbacks contains {type(schedulers[0]).__name__}, which sets the learning rate; learning_rate={choice!r} is "
        "ignored. Set learning_rate='constant', or remove that callback.",
    )
    return constant


def epochs(estimator: Any, n_rows: int, batch_size: int) -> int:
    """Return the number of epochs; with "auto", warn if it is reduced because a training step takes long."""
    choice = estimator._plain("max_iter")
    if choice != "auto":
        return choice
    module = estimator.net_.module_
    each = module.n_multiplications // module.shape.n_members
    budget = estimator._training_steps
    usual, reduced = (
        _auto.max_iter(n_rows, batch_size, steps, estimator._most_epochs)
        for steps in (budget, _auto.training_steps(budget, each))
    )
    if reduced < usual:
        warn(
            f"With {module.shape.n_features} features and hidden_layer_sizes={module.shape.hidden_layer_sizes}, the "
            f"network needs {each:,} multiplications per sample: max_iter='auto' is {reduced} epochs instead of "
            f"{usual} for at most {_auto.MULTIPLICATIONS:,}. Set max_iter of the estimator to train longer.",
        )
    return reduced


def set_patience(net: AutoencoderNet, choice: int | str | None, epochs: int) -> None:
    """Set the patience of the stopping rule, if there is one."""
    for rule in _rules(net):
        rule.patience = _auto.n_iter_no_change(epochs) if isinstance(choice, str) else choice


def warn_afterwards(estimator: Any, epochs: int, done: int, schedule: Schedule) -> None:
    """Warn if training has not converged or stopped during warm-up, or if a callback changed the learning rate."""
    net = estimator.net_
    for rule in (rule for rule in _rules(net) if rule.patience is not None):
        if not rule.stopped_.all():
            if done < net.max_epochs:
                continue  # a callback has stopped training
            warn(
                f"Training ended after max_iter={epochs} epochs, before the validation loss stopped decreasing for "
                f"n_iter_no_change={rule.patience} epochs; increase max_iter.",
                ConvergenceWarning,
            )
        elif _rises(schedule, done / net.max_epochs) and done <= _auto.n_iter_no_change(net.max_epochs):
            warn(
                f"Training stopped after {done} of {net.max_epochs} epochs, because the validation loss did not "
                f"decrease for n_iter_no_change={rule.patience} epochs. This was during the warm-up of "
                f"learning_rate={estimator.learning_rate!r}, when the learning rate is small; set "
                f"n_iter_no_change='auto' (here {_auto.n_iter_no_change(net.max_epochs)} epochs), or "
                "learning_rate='constant'.",
                ConvergenceWarning,
            )
    if net.foreign_rate_ is not None:
        warn(
            f"A callback set the learning rate to {net.foreign_rate_:.3g}; from then on learning_rate="
            f"{estimator.learning_rate!r} was ignored. Set learning_rate='constant' if callbacks control it.",
        )


def _rules(net: AutoencoderNet) -> list[Stopping]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, Stopping)]


def _rises(schedule: Schedule, progress: float) -> bool:
    """Whether the learning rate increases at this stage of the training: the warm-up of the schedule."""
    return schedule(progress) < schedule(min(1.0, progress + 0.01))
