"""What all estimators share: parameters, training a net, storing it, and the way of a row through it."""

from __future__ import annotations

import os
import warnings
from abc import ABCMeta
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._validation import ParameterizedEstimator, StrOptions, check_finite, check_rows, integers, reals
from sk_autoencoder.corruptions import CORRUPTIONS, Corruption
from sk_autoencoder.estimators import _assembly, _auto, _stored
from sk_autoencoder.estimators._identity import training_identity
from sk_autoencoder.inference import Inference
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks import NETWORKS, Network
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.scaling import SCALINGS, ColumnStatistics, Scaling, column_statistics
from sk_autoencoder.training import (
    SCHEDULES,
    SOLVERS,
    AutoencoderNet,
    RowDataset,
    Scaler,
    TrainingPlan,
    pretrain,
    resident,
    split_epochs,
)
from sk_autoencoder.training.callbacks import Callback, ProgressBar, Stopping
from sk_autoencoder.training.checkpoint import Checkpoint, Saving
from sk_autoencoder.training.devices import available_device, mixed_precision, resolve_device
from sk_autoencoder.training.seeding import weight_generators
from sk_autoencoder.training.state import load_net_state, net_state

_AUTO = StrOptions({"auto"})
_STATE_VERSION = 2


class BaseAutoencoder(ParameterizedEstimator, metaclass=ABCMeta):
    """Abstract: an estimator that owns a net (``net_``). Its children list the parameters and say what they offer."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [_AUTO, integers(1)],
        "hidden_layer_sizes": [_AUTO, "array-like", integers(1)],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "out_activation": [_AUTO, StrOptions(set(ACTIVATIONS))],
        "network": [StrOptions(set(NETWORKS)), Network],
        "sample_shape": ["array-like", None],
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "loss": [StrOptions(set(LOSSES)), Loss],
        "corruption": [StrOptions(set(CORRUPTIONS)), Corruption, None],
        "scaling": [_AUTO, StrOptions(set(SCALINGS)), Scaling, None],
        "solver": [StrOptions(set(SOLVERS))],
        "learning_rate_init": [reals(0, closed="neither")],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "momentum": [reals(0, 1)],
        "alpha": [reals(0)],
        "batch_size": [_AUTO, integers(1)],
        "max_iter": [_AUTO, integers(1)],
        "shuffle": ["boolean"],
        "tol": [reals(0), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [reals(0, 1, closed="neither")],
        "n_iter_no_change": [integers(1)],
        "layerwise_pretraining": ["boolean"],
        "warm_start": ["boolean"],
        "device": [str],
        "precision": [StrOptions({"float32", "float64", "bfloat16"})],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What "auto" means for max_iter, hidden_layer_sizes and n_components.
    _training_steps: ClassVar[int] = _auto.TRAINING_STEPS
    _hidden_layers: ClassVar[int] = 3
    _wide_code: ClassVar[bool] = False  # whether noise on the input may take the place of a narrow code

    trim: float = 0.0  # a parameter of detectors

    net_: AutoencoderNet
    n_features_in_: int
    stage_loss_curves_: list[list[float]]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def reconstruct(self, X: Any) -> np.ndarray:
        """Send rows through code and back.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            What the network makes of them, in original units; the mean over the members of an ensemble.
        """
        X = self._check(X)
        return self._inference.reconstruct(X)

    def reconstruction_error(self, X: Any) -> np.ndarray:
        """Mean squared error of each row's reconstruction.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            Mean over features of the squared error, in the squared units of X.
        """
        X = self._check(X)
        return self._inference.squared_errors(X) / X.shape[1]

    def _check(self, X: Any) -> np.ndarray:
        """Validate rows for ``_inference``, which comes back with those that may hold NaN or infinity."""
        check_is_fitted(self)
        return check_rows(self, X, reset=False, finite=False)

    def _n_members(self) -> int:
        return 1

    def _split(self, n_rows: int, hold_out: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Positions of the rows to train on (None: all) and, if told so, of rows held out to validate on.

        Both are (n,), or (n_members, n) where members differ.
        """
        if not hold_out:
            return None, None
        n_held_out = min(n_rows - 1, max(1, round(self.validation_fraction * n_rows)))
        return tuple(train_test_split(np.arange(n_rows), test_size=n_held_out, random_state=self._plan.seed))

    def _fit(self, X: np.ndarray, X_val: Any = None) -> None:
        """Train on validated rows: from new weights, or from the present ones with ``warm_start``."""
        if X_val is not None:
            X_val = check_rows(self, X_val, reset=False)
        if self._continues():
            self._renew()
        else:
            self._prepare(X, X_val, save=self.checkpoint is not None)
        rows, validation = self._datasets(X, X_val)
        batch_size = _auto.batch_size(len(rows)) if self.batch_size == "auto" else min(self.batch_size, len(rows))
        epochs = (
            _auto.max_iter(len(rows), batch_size, self._training_steps) if self.max_iter == "auto" else self.max_iter
        )
        self._train(rows, validation, batch_size, epochs, self.learning_rate)
        rules = [callback for _, callback in self.net_.callbacks_ if isinstance(callback, Stopping)]
        for stopping in (rule for rule in rules if rule.patience is not None and not rule.stopped_.all()):
            warnings.warn(
                f"Training ended after max_iter={epochs} epochs, before the {stopping.monitor} loss had ceased to "
                f"fall by {stopping.tol:g} for n_iter_no_change={self.n_iter_no_change} epochs; raise max_iter.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _continues(self) -> bool:
        """Whether ``fit`` goes on from the present weights."""
        return self.warm_start and self.__sklearn_is_fitted__()

    def _renew(self) -> None:
        """Let the present net follow callbacks, stopping rule and learning rate, which may have changed."""
        self.net_.callbacks, self.net_.lr = self._callbacks(), float(self.learning_rate_init)
        self.net_.initialize_callbacks()
        for group in self.net_.optimizer_.param_groups:
            group["lr"] = self.net_.lr

    def _partial_fit(self, X: np.ndarray) -> None:
        """Train one epoch on validated rows, with the scaling of the first call."""
        if not self.__sklearn_is_fitted__():
            self._prepare(X, None)
        self._streams = True
        batch_size = _auto.batch_size(X.shape[0]) if self.batch_size == "auto" else min(self.batch_size, X.shape[0])
        # A schedule needs an end, which a stream does not have.
        self._train(self._rows(X), None, batch_size, 1, "constant", endless=True)

    def _prepare(self, X: np.ndarray, X_val: np.ndarray | None, save: bool = False) -> None:
        """Resolve parts, check that all fits together, fit the scaling and draw new weights."""
        if self.early_stopping and self.validation_fraction and X_val is None and X.shape[0] < 2:
            raise ValueError(
                "early_stopping=True holds out validation rows and needs at least 2 samples, got 1 sample; "
                "use early_stopping=False or pass X_val."
            )
        device = resolve_device(self.device)
        assembly = _assembly.assemble(self)
        statistics = column_statistics(X)
        affine = _assembly.fit_scaling(self, assembly, X, statistics)
        if X_val is not None and assembly.scaling is None:
            _assembly.check_domain(self, assembly, *_assembly.scaled_range(affine, column_statistics(X_val)))
        shape = _assembly.network_shape(self, assembly, X.shape[1], self._n_members())
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        checkpoint = self._open_checkpoint(X, X_val, statistics) if save else None
        if checkpoint and checkpoint.begun:
            seed = checkpoint.seed
        plan = TrainingPlan(
            loss=assembly.loss,
            corruption=assembly.corruption,
            solver=self.solver,
            momentum=float(self.momentum),
            alpha=float(self.alpha),
            shuffle=bool(self.shuffle),
            mixed_precision=mixed_precision(self.precision, device),
            seed=seed,
            trim=float(self.trim),
        )
        self._assembly, self._shape, self._plan = assembly, shape, plan
        self._affine, self._statistics = affine, statistics
        self._streams = False
        net = self._new_net(device)
        if self.layerwise_pretraining and not net.module_.stages():
            raise ValueError(
                f"layerwise_pretraining=True needs a network whose layers can learn one by one, like network='dense', "
                f"but got network={self.network!r}."
            )
        if checkpoint:
            net.callbacks_.append(("saving", Saving(checkpoint)))
            if checkpoint.begun:
                checkpoint.restore(net)
        self.net_, self.stage_loss_curves_ = net, []

    def _open_checkpoint(self, X: np.ndarray, X_val: np.ndarray | None, statistics: ColumnStatistics) -> Checkpoint:
        """Open the checkpoint's file; there may be one of an interrupted training."""
        for name, without in (("warm_start", False), ("layerwise_pretraining", False), ("trim", 0.0)):
            if getattr(self, name) != without:
                raise ValueError(f"checkpoint keeps one plain training; use it with {name}={without}, or leave it out.")
        return Checkpoint(self.checkpoint, training_identity(self, X, statistics, X_val))

    def _new_net(self, device: torch.device) -> AutoencoderNet:
        """Build an initialized net for the shape and plan that were fixed when training began."""
        shape, plan = self._shape, self._plan
        module = self._assembly.network.build(shape, weight_generators(plan.seed, shape.n_members))
        self._assembly.objective.extend(module)
        net = AutoencoderNet(
            module.to(device),
            self._assembly.objective,
            plan=plan,
            lr=float(self.learning_rate_init),
            callbacks=self._callbacks(),
            device=str(device),
            train_split=None,
        )
        return net.initialize()

    def _callbacks(self) -> list[Any]:
        """Copies of the user's callbacks, then ours; stopping comes last, so that all others see its epoch."""
        for position, callback in enumerate(self.callbacks or []):
            held = callback[-1] if isinstance(callback, tuple) else callback
            if not (isinstance(held, Callback) or (isinstance(held, type) and issubclass(held, Callback))):
                raise ValueError(
                    f"callbacks[{position}]={callback!r} is no skorch callback; write for example "
                    "callbacks=[skorch.callbacks.LRScheduler()], or a pair (name, callback)."
                )
        callbacks = [clone(callback, safe=False) for callback in self.callbacks or []]
        if self.verbose:
            callbacks.append(ProgressBar())
        if self.tol is not None and self.n_iter_no_change is None:
            raise ValueError(
                f"tol={self.tol!r} lets a member stop after n_iter_no_change epochs, but n_iter_no_change=None; use "
                "for example n_iter_no_change=10, or tol=None."
            )
        if self.early_stopping or self.tol is not None:
            monitor = "valid" if self.early_stopping else "train"
            callbacks.append(Stopping(monitor, self.tol or 0.0, self.n_iter_no_change, restore=self.early_stopping))
        return callbacks

    def _datasets(self, X: np.ndarray, X_val: np.ndarray | None) -> tuple[RowDataset, RowDataset | None]:
        """Rows to train on, and rows to validate on: the user's, or some held out."""
        source = resident(X, torch.device(self.net_.device))
        positions, held_out = self._split(X.shape[0], hold_out=X_val is None and self.early_stopping)
        validation = None if held_out is None else self._rows(X, held_out, source)
        if X_val is not None:
            validation = self._rows(X_val, source=resident(X_val, torch.device(self.net_.device)))
        return self._rows(X, positions, source), validation

    def _rows(self, X: np.ndarray, positions: np.ndarray | None = None, source: Any = None) -> RowDataset:
        scaler = Scaler(self._affine, X.dtype, torch.device(self.net_.device), self._shape.torch_dtype)
        return RowDataset(X, scaler, positions, source)

    def _train(
        self,
        rows: RowDataset,
        validation: RowDataset | None,
        batch_size: int,
        epochs: int,
        learning_rate: str,
        endless: bool = False,
    ) -> None:
        """Run the engine; whatever ends it, what was learnt is kept, unless the loss has diverged."""
        try:
            epochs = self._pretrain(rows, batch_size, epochs, learning_rate)
            self.net_.train(
                rows, validation, batch_size=batch_size, epochs=epochs, learning_rate=learning_rate, endless=endless
            )
        except FloatingPointError as error:
            message = _assembly.divergence_message(self, self._affine, self._statistics)
            del self.net_
            raise ValueError(message) from error
        finally:
            if hasattr(self, "net_"):
                self._finish()

    def _pretrain(self, rows: RowDataset, batch_size: int, epochs: int, learning_rate: str) -> int:
        """Let the layers of a new network learn one by one, if they are to; return the epochs left for the whole."""
        if not self.layerwise_pretraining or self._streams or self.net_.history:
            return epochs
        each, rest = split_epochs(epochs, len(self.net_.module_.stages()))
        callbacks = [ProgressBar()] if self.verbose else []
        self.stage_loss_curves_ = pretrain(
            self.net_, rows, callbacks=callbacks, epochs=each, batch_size=batch_size, learning_rate=learning_rate
        )
        return rest

    def _finish(self) -> None:
        """Read the net's history into fitted attributes and make its weights ready for use."""
        history = self.net_.history
        self.n_iter_ = len(history)
        self.loss_curve_ = [epoch["train_loss"] for epoch in history if "train_loss" in epoch]
        self.validation_loss_curve_ = [epoch["valid_loss"] for epoch in history if "valid_loss" in epoch]
        parts = {f"train_{name}" for name in self._assembly.objective.gives} & set(history[-1]) if history else set()
        self.loss_curves_ = {name.removeprefix("train_"): history[:, name] for name in sorted(parts)}
        self.best_loss_ = min(self.validation_loss_curve_ or self.loss_curve_, default=None)
        self.n_components_ = self._shape.n_components
        check = partial(check_finite, estimator_name=type(self).__name__)
        self._inference = Inference(self.net_.module_, self._affine, torch.device(self.net_.device), check)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Arrays and plain values only: the net is rebuilt when the state is loaded."""
        state = dict(super().__getstate__())
        if "net_" in state:
            goes_on = self.warm_start or self._streams
            state["_net_state"] = net_state(state.pop("net_"), with_optimizer=goes_on)
            state["_state_version"] = _STATE_VERSION
            del state["_inference"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the net on the device that this machine has."""
        _stored.check_version(type(self).__name__, state, _STATE_VERSION)
        rest = dict(state)
        arrays, _ = rest.pop("_net_state", None), rest.pop("_state_version", None)
        super().__setstate__(rest)
        if arrays is not None:
            _stored.check_sizes(self, arrays["weights"])
            self.net_ = self._new_net(available_device(self.device))
            load_net_state(self.net_, arrays)
            self._finish()
