"""Base class of classifier and regressor: an autoencoder with a head that learns from the labelled samples."""

from __future__ import annotations

import copy
from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._parts import resolve
from sk_autoencoder._validation import (
    StrOptions,
    check_rows,
    check_validation_rows,
    check_weight,
    integers,
    layer_sizes,
    reals,
)
from sk_autoencoder.estimators import _assembly, _auto, _changes
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.estimators._callbacks import BaseWithCallbacks
from sk_autoencoder.estimators._identity import open_checkpoint
from sk_autoencoder.estimators._transformer import AutoencoderTransformer
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch
from sk_autoencoder.objectives.consistency import CONSISTENCIES, Consistency
from sk_autoencoder.objectives.supervised import Supervised, is_of_head
from sk_autoencoder.training.checkpoint import attach
from sk_autoencoder.training.devices import mixed_precision, resolve_device

_TRAINING = (  # parameters of the training with labels
    *("solver", "learning_rate_init", "learning_rate", "alpha", "batch_size", "max_iter", "early_stopping"),
    *("n_iter_no_change", "callbacks", "checkpoint", "verbose"),
)
_LARGEST_SEED = np.iinfo(np.int32).max
_N_STANDARDIZED = 1 << 14  # training samples from which the input of the head is standardized


class BaseSupervisedAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseWithCallbacks):
    """Abstract base class: an ``AutoencoderTransformer`` (``autoencoder_``) whose network has a head."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "autoencoder": [AutoencoderTransformer, FrozenEstimator, None],
        "training": [StrOptions({"frozen", "finetune", "joint"})],
        "n_encoder_layers": [integers(1), None],
        "n_unfrozen_layers": [integers(0), None],
        "encoder_rate": [reals(0)],
        "head_hidden_layer_sizes": ["array-like", integers(1)],
        "reconstruction_weight": [reals(0)],
        "consistency": [StrOptions(set(CONSISTENCIES)), Consistency, None],
        "n_estimators": [integers(1)],
        **{
            name: BaseAutoencoder._parameter_constraints[name]
            for name in (*_TRAINING, "random_state")
            if name != "early_stopping"
        },
        "early_stopping": AutoencoderTransformer._parameter_constraints["early_stopping"],
    }

    autoencoder: Any
    training: str
    autoencoder_: AutoencoderTransformer

    @abstractmethod
    def _labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        """Validate labels and set attributes; return the weight of each label and its target."""

    @abstractmethod
    def _validation_labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        """Return the weight of each label of the validation samples, and its target."""

    @abstractmethod
    def _transduced(self, X: Any, labels: np.ndarray) -> np.ndarray:
        """Return labels of the training samples, predicted ones where they are unknown."""

    @abstractmethod
    def _after_labels(self, training: Samples, validation: Samples | None) -> None:
        """Do what remains after the training."""

    _n_outputs: Any  # number of outputs of the head
    _classifies: ClassVar[bool]

    @property
    def net_(self) -> Any:
        """The trained skorch net of the autoencoder and its head."""
        return self.autoencoder_.net_

    @property
    def n_iter_(self) -> int:
        """Number of epochs of the training with labels."""
        return self.autoencoder_.n_iter_

    @property
    def loss_curve_(self) -> list[float]:
        """Loss of the head after each epoch of the training with labels, on samples with a label."""
        return self.autoencoder_.loss_curve_

    @property
    def validation_loss_curve_(self) -> list[float]:
        """The same for held-out samples; empty without them."""
        return self.autoencoder_.validation_loss_curve_

    @property
    def best_loss_(self) -> float | None:
        """Smallest validation loss or, without held-out samples, smallest training loss."""
        return self.autoencoder_.best_loss_

    @property
    def loss_curves_(self) -> dict[str, list[float]]:
        """Training curve of each term of the loss."""
        return {"supervised": self.loss_curve_} | self.autoencoder_.loss_curves_

    def _fit(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, sample_weight_val: Any) -> None:
        X = check_rows(self, X, reset=True)
        weight = check_weight(sample_weight, X)
        labels = self._labels(y, X.shape[0], weight)
        training = _with_labels(_assembly.used_samples(X, weight), labels)
        validation = self._validation(X_val, y_val, sample_weight_val)
        self.n_labelled_ = int((labels[:, 0] > 0).sum())
        self._train(training, validation, self.consistency, self.checkpoint)
        self._after_labels(training, validation)
        self.transduction_ = self._transduced(X, labels)

    def _train(self, training: Samples, validation: Samples | None, consistency: Any, checkpoint: Any) -> None:
        """Fit autoencoder and head."""
        source = check_random_state(self.random_state)
        model, fitted = self._copied()
        objective = self._supervised(model, consistency)  # checks its parameters before any training
        if not fitted and model.random_state is None and self.random_state is not None:
            model.random_state = source.randint(_LARGEST_SEED)
        if not fitted and self.training != "joint":
            model._validate_params()
            model._fit(training._replace(labels=None))
            fitted = True
        own, model.objective = model.objective, objective
        for name in _TRAINING:
            setattr(model, name, getattr(self, name))
        model.checkpoint = checkpoint
        assert training.labels is not None
        all_known = bool((training.labels[:, 0] > 0).all())
        if model.learning_rate_init == "auto":
            model.learning_rate_init = _auto.ALL_LABELS_RATE if all_known else _auto.FEW_LABELS_RATE
        self._add_head(model, training, validation, fitted, source)
        if not all_known and not self._classifies:
            model._training_steps = _auto.FEW_TARGETS_STEPS
        self.autoencoder_ = model
        try:
            model._train_on(training, validation)
        finally:
            model.objective = own
            model._given = _changes.given(model)

    def _validation(self, X_val: Any, y_val: Any, weight: Any) -> Samples | None:
        if X_val is None:
            if y_val is not None or weight is not None:
                raise ValueError("y_val and sample_weight_val need X_val.")
            return None
        if y_val is None:
            raise ValueError("X_val was given without y_val.")
        X_val = check_validation_rows(self, X_val)
        weight = check_weight(weight, X_val, "sample_weight_val")
        labels = self._validation_labels(y_val, X_val.shape[0], weight)
        known = labels[:, 0] > 0
        if not known.any():
            raise ValueError("y_val has no labels.")
        weight = None if weight is None else weight[known]
        return _with_labels(_assembly.used_samples(X_val[known], weight, "X_val"), labels[known])

    def _copied(self) -> tuple[AutoencoderTransformer, bool]:
        """Return a private copy of the autoencoder, and whether it is fitted."""
        if isinstance(self.autoencoder, FrozenEstimator):
            given = self.autoencoder.estimator
            if not isinstance(given, AutoencoderTransformer):
                raise ValueError(
                    f"autoencoder=FrozenEstimator({type(given).__name__}(...)) must hold an AutoencoderTransformer; of "
                    "a pipeline, pass its step, and transform X before."
                )
            check_is_fitted(given)
            _check_same_features(given, self)
            self._check_support(given)
            return copy.deepcopy(given), True
        model = self._default() if self.autoencoder is None else clone(self.autoencoder)
        self._check_support(model)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model, False

    def _check_support(self, model: AutoencoderTransformer) -> None:
        """Raise an error for parameters of the autoencoder that are not supported with a head."""
        if _assembly.assemble(model).objective.trim:
            raise ValueError("trim is not supported with labels; use an objective with trim=0.0.")
        if model.whiten and self.n_estimators > 1:
            raise ValueError(
                f"whiten=True is not supported with n_estimators={self.n_estimators} networks; use whiten=False or "
                "n_estimators=1. The input of the head is standardized in any case."
            )

    def _default(self) -> AutoencoderTransformer:
        return AutoencoderTransformer(64)

    def _supervised(self, model: AutoencoderTransformer, consistency: Any) -> Supervised:
        """Return the objective of the autoencoder with a head; raise an error for parameters that do not fit."""
        parts = _assembly.assemble(model)
        if self.n_encoder_layers is not None:
            if not parts.network.has_layers:
                raise ValueError(f"n_encoder_layers needs network='dense', but it is {model.network!r}; use None.")
            widths = model.hidden_layer_sizes
            if isinstance(widths, str):
                widths = parts.network.auto_hidden_layer_sizes(model.n_features_in_, model._hidden_layers)
            n_layers = len(layer_sizes(widths)) + 1
            if self.n_encoder_layers > n_layers:
                raise ValueError(
                    f"n_encoder_layers={self.n_encoder_layers} exceeds the {n_layers} layers of the encoder, including "
                    "that of the code; use None for all."
                )
        return Supervised(
            parts.objective,
            self._n_outputs,
            classifies=self._classifies,
            training=self.training,
            hidden_layer_sizes=layer_sizes(self.head_hidden_layer_sizes),
            reconstruction_weight=self.reconstruction_weight,
            consistency=None if consistency is None else resolve(CONSISTENCIES, consistency),
            n_encoder_layers=self.n_encoder_layers,
            n_unfrozen_layers=self.n_unfrozen_layers,
            encoder_rate=self.encoder_rate,
        )

    def _add_head(
        self,
        model: AutoencoderTransformer,
        training: Samples,
        validation: Samples | None,
        fitted: bool,
        source: np.random.RandomState,
    ) -> None:
        """Prepare the training with labels: a new net with a head, with the weights of a fitted autoencoder."""
        model._members = int(self.n_estimators)
        if not fitted:
            model._validate_params()
            model._prepare(training, validation, save=model.checkpoint is not None)
            model._finish()
        else:
            self._extend(model, training, validation, source)
        if not model.net_.history:  # no checkpoint was restored
            positions, _ = model._split(training, hold_out=validation is None and model._validates)
            self._prepare_head(model, training if positions is None else _at(training, positions))

    def _prepare_head(self, model: AutoencoderTransformer, training: Samples) -> None:
        """Standardize the input of the head on training samples, without those held out for early stopping."""
        part = slice(None, None, -(-training.X.shape[0] // _N_STANDARDIZED))
        objective, module = model._assembly.objective, model.net_.module_
        read = partial(_features, objective=objective)
        features = model._inference.apply(read, training.X[part], module.get_buffer("head_mean").shape[-1], np.float64)
        objective.standardize(module, features, None if training.weight is None else training.weight[part])

    def _extend(
        self,
        model: AutoencoderTransformer,
        training: Samples,
        validation: Samples | None,
        source: np.random.RandomState,
    ) -> None:
        """Replace the net of a fitted model by one with a head and the same weights."""
        old, device = model.net_.module_, resolve_device(model.device)
        assembly = _assembly.assemble(model)
        shape = _assembly.network_shape(model, assembly, model.n_features_in_, model._shape.indicators)
        model._assembly, model._shape = assembly, shape
        checkpoint = None
        if model.checkpoint is not None:
            start = old if isinstance(self.autoencoder, FrozenEstimator) else None
            checkpoint = open_checkpoint(model, training, model._statistics, validation, start)
        seed = source.randint(_LARGEST_SEED)
        if checkpoint and checkpoint.begun:
            seed = checkpoint.seed
        model._plan = _assembly.training_plan(model, assembly, shape, mixed_precision(model.precision, device), seed)
        net = model._new_net(assembly, shape, model._plan, device)
        of_old = old.of_member(old.state_dict(), 0)
        kept = [name for name in of_old if not is_of_head(name)]  # a fitted classifier's autoencoder has a head
        for member in range(shape.n_members):
            of_new = net.module_.of_member(net.module_.state_dict(), member)
            for name in kept:
                of_new[name].copy_(of_old[name])
        if checkpoint:
            attach(checkpoint, net)
        model.net_ = net
        model._finish()

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the heads, (n_members, n_samples, n_outputs) in float64."""
        check_is_fitted(self)
        return self._outputs_of_rows(check_rows(self, X, reset=False, finite=False))

    def _outputs_of_rows(self, X: Any) -> np.ndarray:
        """Do the same for validated samples."""
        predict = partial(_read_head, objective=self.autoencoder_._assembly.objective)
        return self.autoencoder_._inference.apply(predict, X, self._n_outputs, np.float64)

    def transform(self, X: Any) -> np.ndarray:
        """Encode samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_estimators * n_components)
            Latent codes, those of the networks side by side; float32 if X is float32, otherwise float64.
        """
        check_is_fitted(self)
        X = check_rows(self, X, reset=False, finite=False)
        return np.concatenate(self.autoencoder_._inference.encode(X), axis=1)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Reconstruct samples: encode and decode them.

        With "finetune", the decoder is that of the pretraining, and does not follow the encoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Reconstructions, in the units of X; the mean over the networks.
        """
        check_is_fitted(self)
        return self.autoencoder_._inference.reconstruct(check_rows(self, X, reset=False, finite=False))

    @property
    def _n_features_out(self) -> int:
        return self.autoencoder_.n_components_ * self.autoencoder_._members

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "autoencoder_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _read_head(network: Autoencoder, batch: Batch, objective: Supervised) -> torch.Tensor:
    return objective.predict(network, batch.corrupted)


def _features(network: Autoencoder, batch: Batch, objective: Supervised) -> torch.Tensor:
    return objective.features(network, batch.corrupted)


def _with_labels(samples: Samples, labels: np.ndarray) -> Samples:
    used = slice(None) if samples.given is None else samples.given > 0
    return samples._replace(labels=labels[used])


def _at(samples: Samples, positions: np.ndarray) -> Samples:
    """Select samples; which of the user's samples are not in X is left out."""
    X, weight, labels = (None if values is None else values[positions] for values in (*samples[:2], samples.labels))
    return samples._replace(X=X, weight=weight, labels=labels, given=None)


def _check_same_features(given: AutoencoderTransformer, estimator: Any) -> None:
    """Raise an error if a fitted autoencoder was fitted to other features than X has."""
    names = [getattr(fitted, "feature_names_in_", None) for fitted in (given, estimator)]
    same_names = names[0] is None or names[1] is None or np.array_equal(names[0], names[1])
    if given.n_features_in_ != estimator.n_features_in_ or not same_names:
        raise ValueError(
            f"The frozen autoencoder was fitted to {given.n_features_in_} features"
            f"{_listed(names[0])}, but X has {estimator.n_features_in_}{_listed(names[1])}."
        )


def _listed(names: np.ndarray | None) -> str:
    return "" if names is None else f" ({', '.join(map(str, names[:5]))}{', ...' if len(names) > 5 else ''})"
