"""Base class of the estimators: parameters, training, and pickling."""

from __future__ import annotations

import os
from abc import ABCMeta, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._threads import TRAINING_STEP, threads
from sk_autoencoder._validation import (
    StrOptions,
    check_rows,
    check_validation_rows,
    check_weight,
    finite_check,
    integers,
    own_modes,
    reals,
)
from sk_autoencoder.corruptions import CORRUPTIONS, Corruption
from sk_autoencoder.donors import Filling, Means
from sk_autoencoder.estimators import _assembly, _auto, _changes, _course, _stored
from sk_autoencoder.estimators._assembly import Assembly, Samples
from sk_autoencoder.estimators._callbacks import BaseWithCallbacks, check_callbacks, check_storable, copied
from sk_autoencoder.estimators._identity import check_checkpoint, open_checkpoint
from sk_autoencoder.inference import Inference
from sk_autoencoder.losses import LOSSES, Loss
from sk_autoencoder.networks import NETWORKS, Network, NetworkShape
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.networks.bounds import Bounds, InputBounds
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.objectives.base import extend
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
from sk_autoencoder.training.checkpoint import attach
from sk_autoencoder.training.devices import available_device, mixed_precision, resolve_device
from sk_autoencoder.training.seeding import weight_generators
from sk_autoencoder.training.state import load_net_state, net_state

_AUTO = StrOptions({"auto"})
_STATE_VERSION = 12


class BaseAutoencoder(BaseWithCallbacks, metaclass=ABCMeta):
    """Abstract base class of the estimators, which train an ``AutoencoderNet`` (``net_``)."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [_AUTO, integers(1)],
        "hidden_layer_sizes": [_AUTO, "array-like", integers(1)],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "network": [StrOptions(set(NETWORKS)), Network],
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "loss": [StrOptions(set(LOSSES)), Loss],
        "corruption": [StrOptions(set(CORRUPTIONS)), Corruption, None],
        "scaling": [_AUTO, StrOptions(set(SCALINGS)), Scaling, None],
        "add_indicator": ["boolean"],
        "solver": [StrOptions(set(SOLVERS)), Solver],
        "learning_rate_init": [reals(0, closed="neither")],
        "learning_rate": [StrOptions(set(SCHEDULES)), callable],
        "alpha": [reals(0)],
        "batch_size": [_AUTO, integers(1)],
        "max_iter": [_AUTO, integers(1)],
        "n_iter_no_change": [_AUTO, integers(1)],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "float64", "bfloat16"})],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Values of "auto" for max_iter, hidden_layer_sizes and n_components.
    _training_steps: int = _auto.TRAINING_STEPS
    _most_epochs: int | None = None
    _hidden_layers: ClassVar[int] = 3
    _wide_code: ClassVar[bool] = False  # whether, with a corruption, "auto" may exceed the number of features
    _input_margin: ClassVar[float | None]  # value of "auto" for input_margin of the scaling

    _members: int = 1  # number of networks, for estimators without ``n_estimators``

    n_components: Any

    net_: AutoencoderNet
    n_features_in_: int
    stage_loss_curves_: list[list[float]]
    # Parameters and parts of the current training.
    _given: dict[str, Any]
    _assembly: Assembly
    _shape: NetworkShape
    _plan: TrainingPlan
    _affine: Affine
    _statistics: ColumnStatistics
    _bounds: Bounds | None
    _refines: bool

    def _validate_params(self) -> None:
        _assembly.check_size(self.n_components)
        super()._validate_params()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def reconstruct(self, X: Any) -> np.ndarray:
        """Reconstruct samples: encode and decode them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Reconstructions, in the units of X; the mean over the members of an ensemble.
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
            Mean over features of the squared error, in squared units of X, or dimensionless with
            ``standardize=True``.
        """
        X = self._check(X)
        weights = self._feature_weights() if standardize else np.full(X.shape[1], 1 / X.shape[1])
        errors = np.empty(X.shape[0])
        for part, squares in self._inference.squared_errors(X, self._voters(X)):
            errors[part] = (squares * weights).sum(axis=1)
            if np.isnan(errors[part]).any():  # the mean is over observed values
                counted = weights > 0
                observed = (~np.isnan(squares) & counted).sum(axis=1)
                rescale = np.where(observed > 0, counted.sum(), np.nan) / np.maximum(observed, 1)
                errors[part] = np.nansum(squares * weights, axis=1) * rescale
        return errors

    def _feature_weights(self) -> np.ndarray:
        """Return the weight of each feature: 1 / (variance * number of varying features), 0 for constant features."""
        varies, variance = self._statistics.varies, self._statistics.variance
        return np.divide(1 / max(1, varies.sum()), variance, out=np.zeros_like(variance), where=varies)

    def _check(self, X: Any) -> np.ndarray:
        """Validate samples for ``_inference``, which checks for NaN and infinity itself."""
        check_is_fitted(self)
        return check_rows(self, X, reset=False, finite=False)

    def _voters(self, X: np.ndarray) -> np.ndarray | None:
        """Which members evaluate which samples, (n_members, n_samples); None means all."""
        del X
        return None

    def _n_members(self) -> int:
        return self._members

    def _tied_choices(self) -> dict[str, bool]:
        """Parameters that trained weights do not contain, and whether a change of them requires new weights."""
        return {"random_state": self.random_state is not None, "add_indicator": True}

    @property
    @abstractmethod
    def _validates(self) -> bool:
        """Whether the validation loss is monitored, and the best weights are restored."""

    def _check_holding_out(self, n_rows: int) -> None:
        """Raise an error if there are too few samples to hold out a validation set."""

    @abstractmethod
    def _split(self, training: Samples, hold_out: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return positions of the training samples (None: all) and, if ``hold_out``, of held-out validation samples.

        Both are (n,), or (n_members, n) if they differ between members.
        """

    def _fit(self, training: Samples, X_val: Any = None, sample_weight_val: Any = None) -> None:
        """Train on validated samples, from new weights or, with ``warm_start``, from the current ones."""
        X = training.X
        validation: Samples | None = None
        if X_val is not None:
            X_val = check_validation_rows(self, X_val)
            sample_weight_val = check_weight(sample_weight_val, X_val, "sample_weight_val")
            validation = _assembly.used_samples(X_val, sample_weight_val, "X_val")
        elif sample_weight_val is not None:
            raise ValueError("sample_weight_val was given without X_val.")
        if self._continues():
            check_checkpoint(self)
            self._renew(X)
        else:
            with threads(X.shape[0] * X.shape[1], 1):
                self._prepare(training, validation, save=self.checkpoint is not None)
        self._train_on(training, validation)

    def _train_on(self, training: Samples, validation: Samples | None) -> None:
        """Train the current net on validated samples."""
        X = training.X
        if validation is not None:
            _assembly.warn_of_foreign_samples(self, validation.X, self._statistics, X.shape[0])
        _assembly.warn_of_new_gaps(self, training, validation)
        rows, held_out = self._datasets(training, validation)
        batch_size = self._batch_size(len(rows))
        epochs = _course.epochs(self, len(rows), batch_size)
        schedule = _course.schedule(self)
        before = len(self.net_.history) - self.net_.epochs_restored_
        self._train(rows, held_out, batch_size, epochs, schedule)
        _course.warn_afterwards(self, epochs, len(self.net_.history) - before, schedule)

    def _continues(self) -> bool:
        """Whether ``fit`` continues from the current weights."""
        return self.warm_start and self.__sklearn_is_fitted__()

    def _renew(self, X: np.ndarray) -> None:
        """Apply changed parameters to the current net; raise an error if they require new weights."""
        callbacks, n_members, now = self._callbacks(), self._shape.n_members, _changes.given(self)
        changes = _changes.changed(self._given, now)
        if changes:
            device = resolve_device(self.device)
            assembly = _assembly.assemble(self)
            shape = _assembly.network_shape(self, assembly, X.shape[1], self._shape.indicators)
            before = _changes.fixed(self._assembly, self._shape, torch.device(self.net_.device))
            _changes.refuse(self, changes, before, _changes.fixed(assembly, shape, device))
            for statistics in (self._statistics, *([] if assembly.scaling else [column_statistics(X)])):
                _assembly.check_domain(self, assembly, *_assembly.scaled_range(self._affine, statistics))
            mixed = mixed_precision(self.precision, device)
            plan = _assembly.training_plan(self, assembly, shape, mixed, self._plan.seed)
            self._assembly, self._shape, self._plan, self._given = assembly, shape, plan, now
            self._bounds = _assembly.input_bounds(self, assembly, self._affine, self._statistics)
        if self._shape.n_members > n_members:
            self._add_members()
        else:
            self.net_.renew(self._plan, float(self.learning_rate_init), callbacks)

    def _add_members(self) -> None:
        """Copy the weights to a net with more members; the state of the solver, which all members share, is reset."""
        device = torch.device(self.net_.device)
        old, self.net_ = self.net_, self._new_net(self._assembly, self._shape, self._plan, device)
        self.net_.history.extend(old.history)
        for member in range(old.module_.shape.n_members):
            pairs = (net.module_.of_member(net.module_.state_dict(), member).values() for net in (self.net_, old))
            for new, trained in zip(*pairs, strict=True):
                new.copy_(trained)

    def _partial_fit(self, samples: Samples) -> None:
        """Train one epoch on validated samples, with the scaling of the first call."""
        X = samples.X
        if not self.__sklearn_is_fitted__():
            with threads(X.shape[0] * X.shape[1], 1):
                if not column_statistics(X).varies.any():
                    raise ValueError(
                        f"The first call of partial_fit decides the units of the features, but got {X.shape[0]} "
                        "sample(s), in which no feature varies; begin with more samples that are representative."
                    )
                self._prepare(samples, None)
        elif _changes.changed(self._given, _changes.given(self)):
            self._renew(X)
        _assembly.warn_of_new_gaps(self, samples)
        self._streams = True
        # Schedules need the total number of steps, which is unknown here.
        rows = self._rows(samples)
        self._train(rows, None, self._batch_size(X.shape[0]), 1, SCHEDULES["constant"], endless=True)

    def _batch_size(self, n_rows: int) -> int:
        """Return the number of samples in a mini-batch."""
        chosen = self._plain("batch_size")
        size = _auto.batch_size(n_rows) if chosen == "auto" else min(chosen, n_rows)
        fewest = self.net_.module_.fewest_rows
        if size < fewest:
            if not self.net_.history:
                del self.net_  # it was never trained
            raise ValueError(
                f"network={self.network!r} has batch normalization, which needs at least {fewest} samples in a "
                f"mini-batch, but batch_size={self.batch_size!r} with {n_rows} training sample(s) is {size}; use a "
                f"batch_size of at least {fewest} and more samples, or modules without batch normalization."
            )
        return size

    def _prepare(self, training: Samples, validation: Samples | None, save: bool = False) -> None:
        """Resolve and check the parts, fit the scaling, and initialize a new net."""
        X = training.X
        if validation is None:
            self._check_holding_out(X.shape[0])
        device = resolve_device(self.device)
        assembly = _assembly.assemble(self)
        statistics = column_statistics(X, training.weight)
        affine = _assembly.fit_scaling(self, assembly, X, statistics)
        # Scaled validation samples may exceed the domain, which is that of the training samples.
        if validation is not None and assembly.scaling is None:
            extremes = _assembly.scaled_range(affine, column_statistics(validation.X, validation.weight))
            _assembly.check_domain(self, assembly, *extremes)
        indicators = _assembly.indicated_columns(self, assembly, training, statistics)
        shape = _assembly.network_shape(self, assembly, X.shape[1], indicators)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        checkpoint = open_checkpoint(self, training, statistics, validation) if save else None
        if checkpoint and checkpoint.begun:
            seed = checkpoint.seed
        plan = _assembly.training_plan(self, assembly, shape, mixed_precision(self.precision, device), seed)
        bounds = _assembly.input_bounds(self, assembly, affine, statistics)
        net = self._new_net(assembly, shape, plan, device)
        if assembly.network.layerwise_pretraining and not net.module_.stages():
            raise ValueError(f"layerwise_pretraining=True is not supported by network={self.network!r}.")
        if checkpoint:
            attach(checkpoint, net)
        # Set when nothing can fail any more, so that attributes always belong to the same training.
        self._assembly, self._shape, self._plan, self._given = assembly, shape, plan, _changes.given(self)
        self._affine, self._statistics, self._bounds = affine, replace(statistics, weight=None), bounds
        self._streams = False  # whether partial_fit was called
        self._refines = False  # whether the network was trained to replace missing values
        self.net_, self.stage_loss_curves_ = net, []

    def _new_net(
        self, assembly: Assembly, shape: NetworkShape, plan: TrainingPlan, device: torch.device
    ) -> AutoencoderNet:
        """Create an initialized net."""
        generators = weight_generators(plan.seed, shape.n_members)
        module = assembly.network.build(shape, generators)
        extend(module, assembly.objective, generators)
        net = AutoencoderNet(
            module.to(device),
            assembly.objective,
            plan=plan,
            lr=float(self.learning_rate_init),
            callbacks=self._callbacks(),
            device=str(device),
            train_split=None,
        )
        return net.initialize()

    def _callbacks(self) -> list[Any]:
        """Return copies of the user's callbacks, a progress bar and early stopping, which is last, after all others."""
        check_callbacks(self.callbacks)
        callbacks = copied(self.callbacks) or []
        if self.verbose:
            callbacks.append(ProgressBar())
        if self._validates:
            callbacks.append(Stopping(patience=None))  # the patience is set before training
        return callbacks

    def _datasets(self, training: Samples, validation: Samples | None) -> tuple[RowDataset, RowDataset | None]:
        """Return training samples and validation samples, the user's or held-out samples, if any."""
        device = torch.device(self.net_.device)
        source = resident(training.X, device)
        positions, held_out = self._split(training, hold_out=validation is None and self._validates)
        rows = self._rows(training, positions, source).in_two_streams()
        if validation is not None:
            return rows, self._rows(validation, source=resident(validation.X, device))
        return rows, None if held_out is None else self._rows(training, held_out, source)

    def _rows(self, samples: Samples, positions: np.ndarray | None = None, source: Any = None) -> RowDataset:
        X, has_gaps = samples.X, samples.has_gaps
        if self._assembly.objective.needs_labels and samples.labels is None:
            raise ValueError(
                "This autoencoder is part of a fitted classifier or regressor, and its network has a head that learns "
                "from labels. Train new weights of the autoencoder alone: sklearn.base.clone(autoencoder).fit(X)."
            )
        device = torch.device(self.net_.device)
        scaler, fill = Scaler(self._affine, device, self._shape.torch_dtype), None
        if has_gaps or self._shape.indicators or self._statistics.absent.any():
            fill = torch.tensor(self._fill, dtype=self._shape.torch_dtype, device=device)
        weight, labels = (
            None if values is None else torch.tensor(values, dtype=self._shape.torch_dtype, device=device)
            for values in (samples.weight, samples.labels)
        )
        bounds, indicators = self._input_bounds(), self._shape.indicators
        return RowDataset(X, scaler, positions, source, bounds, fill, weight, indicators, labels)

    @property
    def _fill(self) -> np.ndarray:
        """What the network gets in place of missing values, (n_features,)."""
        return _assembly.fill_values(self._affine, self._statistics)

    def _input_bounds(self) -> InputBounds | None:
        """Create the module that compresses extreme inputs, on the device of the net."""
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
        """Train the net. The fitted state is kept after an interrupt or error, unless the loss has diverged."""
        self._before_training(endless)
        self._refines |= rows.fill is not None and self._may_refine
        try:
            # The backward pass takes twice the time of the forward pass.
            with threads(3 * batch_size * self.net_.module_.n_multiplications, TRAINING_STEP):
                epochs = self._pretrain(rows, batch_size, epochs, schedule)
                _course.set_patience(self.net_, self._plain("n_iter_no_change"), epochs)
                course: Any = {"epochs": epochs, "schedule": schedule, "endless": endless}
                self.net_.train(rows, validation, batch_size=batch_size, refines=self._refines, **course)
        except FloatingPointError as error:
            message = _assembly.divergence_message(self, self._affine, self._statistics)
            del self.net_
            raise ValueError(message) from error
        finally:
            if hasattr(self, "net_"):
                self._finish()
                weight = None if rows.weight is None else rows.weight.double().cpu().numpy()
                self._after_training(Samples(rows.X, weight), endless)

    def _before_training(self, endless: bool) -> None:
        """Delete results of a previous training; ``endless`` is true for ``partial_fit``."""

    def _after_training(self, samples: Samples, endless: bool) -> None:
        """Compute fitted attributes from the training samples."""

    def _pretrain(self, rows: RowDataset, batch_size: int, epochs: int, schedule: Schedule) -> int:
        """Pretrain the layers of a new network, if requested; return the remaining number of epochs."""
        if not self._assembly.network.layerwise_pretraining or self._streams or self.net_.history:
            return epochs
        each, rest = split_epochs(epochs, len(self.net_.module_.stages()))
        self.stage_loss_curves_ = pretrain(
            self.net_, rows, show=self.verbose, epochs=each, batch_size=batch_size, schedule=schedule
        )
        return rest

    def _finish(self) -> None:
        """Set fitted attributes from the history of the net, and prepare it for inference."""
        history = self.net_.history
        self.n_iter_ = len(history)
        self.loss_curve_ = [epoch["train_loss"] for epoch in history if "train_loss" in epoch]
        self.validation_loss_curve_ = [epoch["valid_loss"] for epoch in history if "valid_loss" in epoch]
        terms = {f"train_{name}" for name in self._assembly.objective.terms} & set(history[-1]) if history else set()
        self.loss_curves_ = {name.removeprefix("train_"): history[:, name] for name in sorted(terms)}
        self.best_loss_ = min(self.validation_loss_curve_ or self.loss_curve_, default=None)
        self.n_components_ = self._shape.n_components
        device = torch.device(self.net_.device)
        bounds, check = self._input_bounds(), finite_check(self)
        self._inference = Inference(self.net_.module_, self._affine, bounds, self._filling(device), device, check)

    @property
    def _may_refine(self) -> bool:
        """Whether the network is to replace missing values of its input by their reconstruction."""
        return True

    def _filling(self, device: torch.device) -> Filling:
        """Return a function that replaces missing values in scaled samples after training."""
        return Means(torch.tensor(self._fill, dtype=self._shape.torch_dtype, device=device), self._refines)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays and plain values only; the net is rebuilt when the state is loaded."""
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
        """Restore the state, and rebuild the net on an available device."""
        _stored.check_version(type(self).__name__, state, _STATE_VERSION)
        rest = dict(state)
        arrays, _ = rest.pop("_net_state", None), rest.pop("_state_version", None)
        super().__setstate__(rest)
        if arrays is not None:
            _stored.check_sizes(self, arrays["weights"])
            self.net_ = self._new_net(self._assembly, self._shape, self._plan, available_device(self.device))
            load_net_state(self.net_, arrays)
            self._finish()
