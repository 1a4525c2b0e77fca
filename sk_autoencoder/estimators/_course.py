"""The course of a training: who sets its learning rate, how long it waits for progress, and what deserves a warning."""

from __future__ import annotations

from typing import Any

from sklearn.exceptions import ConvergenceWarning

from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators import _auto
from sk_autoencoder.training import SCHEDULES, AutoencoderNet, Schedule
from sk_autoencoder.training.callbacks import LRScheduler, Stopping
from sk_autoencoder.training.schedules import constant


def schedule(estimator: Any) -> Schedule:
    """Return the learning-rate schedule, which a scheduler among the callbacks takes the place of."""
    choice = estimator._plain("learning_rate")
    chosen = SCHEDULES[choice] if isinstance(choice, str) else choice
    schedulers = [callback for _, callback in estimator.net_.callbacks_ if isinstance(callback, LRScheduler)]
    if chosen is constant or not schedulers:
        return chosen
    warn(
        f"callbacks hold {type(schedulers[0]).__name__}, which sets the learning rate; learning_rate={choice!r} is not "
        "followed. Write learning_rate='constant', or leave that callback out.",
    )
    return constant


def epochs(estimator: Any, n_rows: int, batch_size: int) -> int:
    """Return how many epochs to train; "auto" says so when a very wide table gets fewer of them than others."""
    choice = estimator._plain("max_iter")
    if choice != "auto":
        return choice
    budget, n_features = estimator._training_steps, estimator._shape.n_features
    usual, kept = (
        _auto.max_iter(n_rows, batch_size, steps, estimator._most_epochs)
        for steps in (budget, _auto.training_steps(budget, n_features))
    )
    if kept < usual:
        warn(
            f"X has {n_features} columns, and a step takes time in proportion to them: max_iter='auto' trains for "
            f"{kept} epochs instead of the {usual} of tables with at most {_auto.WIDE} columns. Set max_iter to train "
            "longer.",
        )
    return kept


def set_patience(net: AutoencoderNet, choice: int | str | None, epochs: int) -> None:
    """Give the stopping rule, if there is one, the epochs that it waits for progress."""
    for rule in _rules(net):
        rule.patience = _auto.n_iter_no_change(epochs) if isinstance(choice, str) else choice


def warn_afterwards(estimator: Any, epochs: int, done: int, schedule: Schedule) -> None:
    """Warn when training never met its stopping rule or met it too early, or did not keep to its schedule."""
    net = estimator.net_
    for rule in (rule for rule in _rules(net) if rule.patience is not None):
        no_fall = f"fall by {rule.tol:g} for n_iter_no_change={rule.patience} epochs"
        if not rule.stopped_.all():
            warn(
                f"Training ended after max_iter={epochs} epochs, before the {rule.monitor} loss had ceased to "
                f"{no_fall}; raise max_iter.",
                ConvergenceWarning,
            )
        elif _rises(schedule, done / net.max_epochs) and done <= _auto.n_iter_no_change(net.max_epochs):
            warn(
                f"Training stopped after {done} of {net.max_epochs} epochs, because the {rule.monitor} loss did not "
                f"{no_fall}. Then learning_rate={estimator.learning_rate!r} had only begun to rise, and little was "
                f"learnt; write n_iter_no_change='auto' (here {_auto.n_iter_no_change(net.max_epochs)} epochs), or "
                "learning_rate='constant'.",
                ConvergenceWarning,
            )
    if net.foreign_rate_ is not None:
        warn(
            f"A callback set the learning rate to {net.foreign_rate_:.3g}; from then on learning_rate="
            f"{estimator.learning_rate!r} was not followed. Write learning_rate='constant' to leave it to callbacks.",
        )


def _rules(net: AutoencoderNet) -> list[Stopping]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, Stopping)]


def _rises(schedule: Schedule, progress: float) -> bool:
    """Whether a schedule is in its warm-up."""
    return schedule(progress) < schedule(min(1.0, progress + 0.01))
