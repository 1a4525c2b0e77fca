"""What all estimators share: parameters, training a net, storing it, and the way of a row through it."""

from __future__ import annotations

import os
from abc import ABCMeta, abstractmethod
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._threads import TRAINING_STEP, threads
from sk_autoencoder._validation import (
    ParameterizedEstimator,
    StrOptions,
    check_finite,
    check_rows,
    check_validation_rows,
    integers,
    own_modes,
    reals,
)
from sk_autoencoder.corruptions import CORRUPTIONS, Corruption
from sk_autoencoder.estimators import _assembly, _auto, _changes, _course, _stored
from sk_autoencoder.estimators._assembly import Assembly
from sk_autoencoder.estimators._callbacks import check_callbacks, check_storable, copied, nested_parameters, set_nested
from sk_autoencoder.estimators._identity import training_identity
from sk_autoencoder.inference import Inference
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks import NETWORKS, Network, NetworkShape
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.bounds import Bounds, InputBounds
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.scaling import SCALINGS, Affine, ColumnStatistics, Scaling, column_statistics
from sk_autoencoder.solvers import SOLVERS, Solver
from sk_autoencoder.training import (
    SCHEDULES,
    AutoencoderNet,
    RowDataset,
    Scaler,
    Schedule,
    TrainingPlan,
    pretrain,
    resident,
    split_epochs,
)
from sk_autoencoder.training.callbacks import ProgressBar, Stopping
from sk_autoencoder.training.checkpoint import Checkpoint, Saving
from sk_autoencoder.training.devices import available_device, mixed_precision, resolve_device
from sk_autoencoder.training.seeding import weight_generators
from sk_autoencoder.training.state import load_net_state, net_state

_AUTO = StrOptions({"auto"})
_STATE_VERSION = 5


class BaseAutoencoder(ParameterizedEstimator, metaclass=ABCMeta):
    """Abstract: an estimator that owns a net (``net_``). Its children list the parameters and say what they offer."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [_AUTO, integers(1)],
        "hidden_layer_sizes": [_AUTO, "array-like", integers(1)],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "network": [StrOptions(set(NETWORKS)), Network],
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "loss": [StrOptions(set(LOSSES)), Loss],
        "corruption": [StrOptions(set(CORRUPTIONS)), Corruption, None],
        "scaling": [_AUTO, StrOptions(set(SCALINGS)), Scaling, None],
        "input_margin": [reals(0), None],
        "solver": [StrOptions(set(SOLVERS)), Solver],
        "learning_rate_init": [reals(0, closed="neither")],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
        "alpha": [reals(0)],
        "batch_size": [_AUTO, integers(1)],
        "max_iter": [_AUTO, integers(1)],
        "tol": [reals(0), None],
        "n_iter_no_change": [_AUTO, integers(1)],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "float64", "bfloat16"})],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What "auto" means for max_iter, hidden_layer_sizes and n_components.
    _training_steps: ClassVar[int] = _auto.TRAINING_STEPS
    _most_epochs: ClassVar[int | None] = None
    _hidden_layers: ClassVar[int] = 3
    _wide_code: ClassVar[bool] = False  # whether noise on the input may take the place of a narrow code

    callbacks: list[Any] | None
    n_components: Any

    net_: AutoencoderNet
    n_features_in_: int
    stage_loss_curves_: list[list[float]]
    # What training began with.
    _given: dict[str, Any]
    _assembly: Assembly
    _shape: NetworkShape
    _plan: TrainingPlan
    _affine: Affine
    _statistics: ColumnStatistics
    _bounds: Bounds | None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get parameters, those of callbacks as ``callbacks__<name>__<parameter>``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to list the parameters of parts and callbacks too.

        Returns
        -------
        params : dict
            Parameters by name.
        """
        return super().get_params(deep) | (nested_parameters(self.callbacks) if deep else {})

    def set_params(self, **params: Any) -> BaseAutoencoder:
        """Set parameters, nested ones as ``<part>__<parameter>`` or ``callbacks__<name>__<parameter>``.

        A callback's name is that of its pair (name, callback), or of its class, with a number from 1 behind it where
        there are several, as in skorch.

        Parameters
        ----------
        **params : dict
            Parameters of this estimator, of its parts or of its callbacks.

        Returns
        -------
        self : object
            This estimator.

        Raises
        ------
        ValueError
            If a parameter does not exist, or a nested one is asked of a part given by its name.
        """
        of_callbacks = {name: params.pop(name) for name in list(params) if name.startswith("callbacks__")}
        super().set_params(**params)
        if of_callbacks:
            changes = {name.removeprefix("callbacks__"): value for name, value in of_callbacks.items()}
            self.callbacks = set_nested(self.callbacks, changes)
        return self

    def _validate_params(self) -> None:
        _assembly.check_size(self.n_components)
        super()._validate_params()

    def __sklearn_clone__(self) -> BaseAutoencoder:
        """Clone all but callbacks, of which new ones share what the old ones hold."""
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__, callbacks=None)
        cloned = super(BaseAutoencoder, bare).__sklearn_clone__()
        cloned.callbacks = copied(self.callbacks)
        return cloned

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
        return self._inference.reconstruct(X, self._voters(X))

    def reconstruction_error(self, X: Any, *, standardize: bool = False) -> np.ndarray:
        """Mean squared error of the reconstruction of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        standardize : bool, default=False
            Whether the squared error of each feature is divided by the variance of the feature in the training set.
            Features that were constant in the training set are then left out.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            Mean over features of the squared error, in the squared units of X, or without unit with
            ``standardize=True``.
        """
        X = self._check(X)
        weights = self._feature_weights() if standardize else np.full(X.shape[1], 1 / X.shape[1])
        errors = np.empty(X.shape[0])
        for part, squares in self._inference.squared_errors(X, self._voters(X)):
            errors[part] = (squares * weights).sum(axis=1)
        return errors

    def _feature_weights(self) -> np.ndarray:
        """Return one over the training variance of each feature and over their number, 0 for constant features."""
        varies, variance = self._statistics.varies, self._statistics.variance
        return np.divide(1 / max(1, varies.sum()), variance, out=np.zeros_like(variance), where=varies)

    def _check(self, X: Any) -> np.ndarray:
        """Validate rows for ``_inference``, which comes back with those that may hold NaN or infinity."""
        check_is_fitted(self)
        return check_rows(self, X, reset=False, finite=False)

    def _voters(self, X: np.ndarray) -> np.ndarray | None:
        """Which members judge which samples, (n_members, n_samples); None stands for all."""
        del X
        return None

    def _n_members(self) -> int:
        return 1

    def _tied_choices(self) -> dict[str, bool]:
        """Parameters that trained weights do not show but depend on, and whether the present value asks for others."""
        return {"random_state": self.random_state is not None}

    @property
    @abstractmethod
    def _validates(self) -> bool:
        """Whether the validation loss says which weights are kept, and when training stops."""

    def _check_holding_out(self, n_rows: int) -> None:
        """Raise an error if there are too few samples to hold some of them out."""

    @abstractmethod
    def _split(self, n_rows: int, hold_out: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Positions of the samples to train on (None: all) and, if told so, of those held out to validate on.

        Both are (n,), or (n_members, n) where members differ.
        """

    def _fit(self, X: np.ndarray, X_val: Any = None) -> None:
        """Train on validated rows: from new weights, or from the present ones with ``warm_start``."""
        if X_val is not None:
            X_val = check_validation_rows(self, X_val)
        if self._continues():
            self._check_checkpoint()
            self._renew(X)
        else:
            with threads(X.shape[0] * X.shape[1], 1):
                self._prepare(X, X_val, save=self.checkpoint is not None)
        if X_val is not None:
            _assembly.warn_of_foreign_samples(self, X_val, self._statistics, X.shape[0])
        rows, validation = self._datasets(X, X_val)
        batch_size = self._batch_size(len(rows))
        epochs = _course.epochs(self, len(rows), batch_size)
        schedule = _course.schedule(self)
        before = len(self.net_.history) - self.net_.epochs_restored_
        self._train(rows, validation, batch_size, epochs, schedule)
        _course.warn_afterwards(self, epochs, len(self.net_.history) - before, schedule)

    def _continues(self) -> bool:
        """Whether ``fit`` goes on from the present weights."""
        return self.warm_start and self.__sklearn_is_fitted__()

    def _renew(self, X: np.ndarray) -> None:
        """Let the present net follow parameters that have changed, as far as its weights can."""
        callbacks, n_members, now = self._callbacks(), self._shape.n_members, _changes.given(self)
        changes = _changes.changed(self._given, now)
        if changes:
            device = resolve_device(self.device)
            assembly = _assembly.assemble(self)
            shape = _assembly.network_shape(self, assembly, X.shape[1], self._n_members())
            before = _changes.fixed(self._assembly, self._shape, torch.device(self.net_.device))
            _changes.refuse(self, changes, before, _changes.fixed(assembly, shape, device))
            for statistics in (self._statistics, *([] if assembly.scaling else [column_statistics(X)])):
                _assembly.check_domain(self, assembly, *_assembly.scaled_range(self._affine, statistics))
            plan = self._new_plan(assembly, mixed_precision(self.precision, device), self._plan.seed)
            self._assembly, self._shape, self._plan, self._given = assembly, shape, plan, now
            self._bounds = _assembly.input_bounds(self, self._affine, self._statistics)
        if self._shape.n_members > n_members:
            self._add_members()
        else:
            self.net_.renew(self._plan, float(self.learning_rate_init), callbacks)

    def _add_members(self) -> None:
        """Put the net's weights into a larger one; the solver's state begins anew, which is one for all members."""
        old, self.net_ = self.net_, self._new_net(torch.device(self.net_.device))
        self.net_.history.extend(old.history)
        for member in range(old.module_.shape.n_members):
            pairs = (net.module_.of_member(net.module_.state_dict(), member).values() for net in (self.net_, old))
            for new, trained in zip(*pairs, strict=True):
                new.copy_(trained)

    def _partial_fit(self, X: np.ndarray) -> None:
        """Train one epoch on validated rows, with the scaling of the first call."""
        if not self.__sklearn_is_fitted__():
            with threads(X.shape[0] * X.shape[1], 1):
                self._prepare(X, None)
        elif _changes.changed(self._given, _changes.given(self)):
            self._renew(X)
        self._streams = True
        # A schedule needs an end, which a stream does not have.
        self._train(self._rows(X), None, self._batch_size(X.shape[0]), 1, SCHEDULES["constant"], endless=True)

    def _batch_size(self, n_rows: int) -> int:
        """Samples of a mini-batch, of so many in all."""
        chosen = self._plain("batch_size")
        size = _auto.batch_size(n_rows) if chosen == "auto" else min(chosen, n_rows)
        fewest = self.net_.module_.fewest_rows
        if size < fewest:
            if not self.net_.history:
                del self.net_  # which was never trained
            raise ValueError(
                f"network={self.network!r} has batch normalisation, which needs at least {fewest} samples in a "
                f"mini-batch, but batch_size={self.batch_size!r} and {n_rows} sample(s) to train on give {size}; use a "
                f"batch_size of at least {fewest} and more samples, or modules without batch normalisation."
            )
        return size

    def _prepare(self, X: np.ndarray, X_val: np.ndarray | None, save: bool = False) -> None:
        """Resolve parts, check that all fits together, fit the scaling and draw new weights."""
        if X_val is None:
            self._check_holding_out(X.shape[0])
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
        self._assembly, self._shape, self._given = assembly, shape, _changes.given(self)
        self._plan = self._new_plan(assembly, mixed_precision(self.precision, device), seed)
        self._affine, self._statistics = affine, statistics
        self._bounds = _assembly.input_bounds(self, affine, statistics)
        self._streams = False
        net = self._new_net(device)
        if assembly.network.layerwise_pretraining and not net.module_.stages():
            raise ValueError(
                f"layerwise_pretraining=True needs layers that can learn one by one, got {self.network!r}."
            )
        if checkpoint:
            net.callbacks_.append(("saving", Saving(checkpoint)))
            if checkpoint.begun:
                checkpoint.restore(net)
        self.net_, self.stage_loss_curves_ = net, []

    def _new_plan(self, assembly: Assembly, mixed_precision: bool, seed: int) -> TrainingPlan:
        """Say how a net with these parts trains."""
        return TrainingPlan(
            loss=assembly.loss,
            corruption=assembly.corruption,
            solver=assembly.solver,
            alpha=float(self.alpha),
            mixed_precision=mixed_precision,
            seed=seed,
        )

    def _open_checkpoint(self, X: np.ndarray, X_val: np.ndarray | None, statistics: ColumnStatistics) -> Checkpoint:
        """Open the checkpoint's file; there may be one of an interrupted training."""
        self._check_checkpoint()
        return Checkpoint(self.checkpoint, training_identity(self, X, statistics, X_val))

    def _check_checkpoint(self) -> None:
        """Refuse what a checkpoint does not keep."""
        if self.checkpoint is None:
            return
        parts = _assembly.assemble(self)
        for name, given in (
            ("warm_start=False", self.warm_start),
            ("layerwise_pretraining=False in the network", parts.network.layerwise_pretraining),
            ("trim=0.0 in the objective", parts.objective.trim),
        ):
            if given:
                raise ValueError(f"checkpoint keeps one plain training; use it with {name}, or leave it out.")

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
        check_callbacks(self.callbacks)
        callbacks = copied(self.callbacks) or []
        if self.verbose:
            callbacks.append(ProgressBar())
        if self.tol is not None and self.n_iter_no_change is None:
            raise ValueError(
                f"tol={self.tol!r} lets a member stop after n_iter_no_change epochs, but n_iter_no_change=None; use "
                "for example n_iter_no_change=10, or tol=None."
            )
        if self._validates or self.tol is not None:
            monitor = "valid" if self._validates else "train"
            # How long it waits depends on the epochs, and is set when training begins.
            callbacks.append(Stopping(monitor, self._plain("tol") or 0.0, patience=None, restore=self._validates))
        return callbacks

    def _datasets(self, X: np.ndarray, X_val: np.ndarray | None) -> tuple[RowDataset, RowDataset | None]:
        """Rows to train on, and rows to validate on: the user's, or some held out."""
        source = resident(X, torch.device(self.net_.device))
        positions, held_out = self._split(X.shape[0], hold_out=X_val is None and self._validates)
        validation = None if held_out is None else self._rows(X, held_out, source)
        if X_val is not None:
            validation = self._rows(X_val, source=resident(X_val, torch.device(self.net_.device)))
        return self._rows(X, positions, source), validation

    def _rows(self, X: np.ndarray, positions: np.ndarray | None = None, source: Any = None) -> RowDataset:
        scaler = Scaler(self._affine, torch.device(self.net_.device), self._shape.torch_dtype)
        return RowDataset(X, scaler, positions, source, self._input_bounds())

    def _input_bounds(self) -> InputBounds | None:
        """Build what bounds the network's input, on its device."""
        return None if self._bounds is None else InputBounds(self._bounds, self._shape.torch_dtype).to(self.net_.device)

    def _train(
        self,
        rows: RowDataset,
        validation: RowDataset | None,
        batch_size: int,
        epochs: int,
        schedule: Schedule,
        endless: bool = False,
    ) -> None:
        """Run the engine; whatever ends it, what was learnt is kept, unless the loss has diverged."""
        self._before_training(endless)
        try:
            # Gradients take twice what a pass forward takes.
            with threads(3 * batch_size * self.net_.module_.n_multiplications, TRAINING_STEP):
                epochs = self._pretrain(rows, batch_size, epochs, schedule)
                _course.set_patience(self.net_, self._plain("n_iter_no_change"), epochs)
                self.net_.train(
                    rows, validation, batch_size=batch_size, epochs=epochs, schedule=schedule, endless=endless
                )
        except FloatingPointError as error:
            message = _assembly.divergence_message(self, self._affine, self._statistics)
            del self.net_
            raise ValueError(message) from error
        finally:
            if hasattr(self, "net_"):
                self._finish()
                self._after_training(rows.X, endless)

    def _before_training(self, endless: bool) -> None:
        """Drop what an earlier training has left; ``endless`` is one call of ``partial_fit`` among many."""

    def _after_training(self, X: np.ndarray, endless: bool) -> None:
        """Learn from the training samples what methods of the fitted estimator need."""

    def _pretrain(self, rows: RowDataset, batch_size: int, epochs: int, schedule: Schedule) -> int:
        """Let the layers of a new network learn one by one, if they are to; return the epochs left for the whole."""
        if not self._assembly.network.layerwise_pretraining or self._streams or self.net_.history:
            return epochs
        each, rest = split_epochs(epochs, len(self.net_.module_.stages()))
        self.stage_loss_curves_ = pretrain(
            self.net_, rows, show=self.verbose, epochs=each, batch_size=batch_size, schedule=schedule
        )
        return rest

    def _finish(self) -> None:
        """Read the net's history into fitted attributes and make its weights ready for use."""
        history = self.net_.history
        self.n_iter_ = len(history)
        self.loss_curve_ = [epoch["train_loss"] for epoch in history if "train_loss" in epoch]
        self.validation_loss_curve_ = [epoch["valid_loss"] for epoch in history if "valid_loss" in epoch]
        terms = {f"train_{name}" for name in self._assembly.objective.terms} & set(history[-1]) if history else set()
        self.loss_curves_ = {name.removeprefix("train_"): history[:, name] for name in sorted(terms)}
        self.best_loss_ = min(self.validation_loss_curve_ or self.loss_curve_, default=None)
        self.n_components_ = self._shape.n_components
        check = partial(check_finite, estimator_name=type(self).__name__)
        device = torch.device(self.net_.device)
        self._inference = Inference(self.net_.module_, self._affine, self._input_bounds(), device, check)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Arrays and plain values only: the net is rebuilt when the state is loaded."""
        check_storable(self.callbacks)
        state = dict(super().__getstate__())
        state["device"] = str(self.device)
        if "net_" in state:
            goes_on = self.warm_start or self._streams
            state["_net_state"] = net_state(state.pop("net_"), with_optimizer=goes_on)
            state["_state_version"] = _STATE_VERSION
            del state["_inference"]
        return state

    @own_modes()
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
