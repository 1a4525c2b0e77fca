"""Regression with few known targets."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._labels import known_targets, number_targets
from sk_autoencoder._validation import check_rows, fit_context
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._supervised import BaseSupervisedAutoencoder
from sk_autoencoder.estimators._transformer import AutoencoderTransformer
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch
from sk_autoencoder.objectives.supervised import Supervised
from sk_autoencoder.solvers import Solver

_PENALTIES = np.logspace(-2, 3, 16)  # of the ridge regression
_FEWEST_FOR_RIDGE = 2  # targets
_MOST_COMBINED = 2048  # targets from which ridge regressions and the weight of the networks are learned


class AutoencoderRegressor(RegressorMixin, BaseSupervisedAutoencoder):
    """Regressor that learns from samples with and without known targets.

    The encoder of an autoencoder maps samples to latent codes, and a head, a small network, predicts the target from
    the code. The autoencoder learns from all samples, the head from those with a target. Unknown targets are NaN in
    ``y``.

    Features and targets are scaled inside the estimator.

    Parameters
    ----------
    autoencoder : AutoencoderTransformer, FrozenEstimator or None, default=None
        The autoencoder, whose parameters decide network, objective, loss, corruption, scaling, device and precision.
        Its own training parameters are used for pretraining only. An ``AutoencoderTransformer`` is cloned.
        ``sklearn.frozen.FrozenEstimator(fitted)`` takes a fitted one as it is, for example from another data set: it is
        copied, "frozen" does not change it, "finetune" skips pretraining, and "joint" begins with its weights. None is
        ``AutoencoderTransformer(64)``. Parameters in a search are named ``autoencoder__corruption`` and so on.
    training : {"frozen", "finetune", "joint"}, default="joint"
        "frozen" trains the autoencoder on all samples, then the head on its codes. "finetune" continues with the
        encoder: the head alone in the first 30 % of the steps, then both. "joint" has no pretraining: the losses of
        the autoencoder, for all samples, and of the head are minimized together, on corrupted samples, and in the last
        half of the steps the loss of the head on samples without corruption; in the last 70 % if all targets are
        known.
    n_encoder_layers : int or None, default=None
        Number of layers of the encoder, from the lowest, whose output is the input of the head, with
        ``network="dense"``. None means all, so that the input is the latent code.
    n_unfrozen_layers : int or None, default=None
        Number of layers of the encoder, from the highest, that "finetune" trains. None means all.
    encoder_rate : float, default=0.1
        Factor of the learning rate for the encoder, with "finetune".
    head_hidden_layer_sizes : int or tuple of int, default=()
        Numbers of units in the hidden layers of the head. ``()`` means linear regression.
    reconstruction_weight : float, default=1.0
        Weight of the autoencoder's loss, with "joint".
    consistency : {"virtual_adversarial", "pseudo_label"}, Consistency or None, default=None
        Loss of predictions for samples without labels, with "joint". "virtual_adversarial" keeps predictions constant
        in the direction in which they change most, "pseudo_label" treats confident predictions as labels. Objects have
        further parameters, for example ``objectives.VirtualAdversarial(epsilon=0.1)``.
    n_estimators : int, default=5
        Number of networks, trained in parallel from different initial weights. Each holds out a part of the targets,
        and learns what a ridge regression leaves of the others, see Notes. With 1, a network alone learns all targets.
        Codes are joined.
    solver : {"adam", "sgd"} or Solver, default="adam"
        Optimizer of the training with labels, as in ``AutoencoderTransformer``; so are the following parameters.
    learning_rate_init : float, default=0.001
        Learning rate; the largest one with the schedules "cosine" and "onecycle".
    learning_rate : {"constant", "cosine", "onecycle"} or callable, default="onecycle"
        Schedule of the learning rate.
    alpha : float, default=1.0
        Weight decay, decoupled from the gradient as in AdamW. Few or noisy targets need more, many exact ones less.
    batch_size : int or "auto", default="auto"
        Number of samples in a mini-batch; "auto" is ``min(128, n_samples)``. If some samples have no label, each step
        also takes as many labelled samples, at most all.
    max_iter : int or "auto", default="auto"
        Number of epochs, over all samples. "auto" is the number for 1000 optimizer steps, or for 3000 if all samples
        have labels.
    early_stopping : bool or float, default=False
        Whether to stop when the loss of held-out labelled samples no longer decreases, and to restore the best weights.
        These are ``X_val``, if ``fit`` gets it, otherwise a tenth of the labelled samples with True, or the
        given fraction.
    n_iter_no_change : int or "auto", default="auto"
        Number of epochs without improvement after which training stops. "auto" is a tenth of all epochs, at least 10.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training with labels.
    checkpoint : path-like or None, default=None
        Directory of the file from which an interrupted training with labels continues.
    random_state : int, RandomState instance or None, default=None
        Seed or generator. It also gives a seed to an ``autoencoder`` whose ``random_state`` is None.
    verbose : bool or int, default=False
        Whether to show a progress bar of the training with labels.

    Attributes
    ----------
    autoencoder_ : AutoencoderTransformer
        The fitted autoencoder, whose network also has the head.
    net_ : AutoencoderNet
        Its skorch net.
    n_labelled_ : int
        Number of training samples with a label.
    network_weight_ : float
        Weight of the mean of the networks beside the ridge regressions, from 0 to 1; 1 if no target is held out.
    transduction_ : ndarray of shape (n_samples,)
        Targets of the training samples, predicted ones where they are unknown.
    loss_curve_ : list of float
        Loss of the head after each epoch of the training with targets, on samples with target.
    validation_loss_curve_ : list of float
        The same for held-out samples; empty without them.
    best_loss_ : float
        Smallest validation loss or, without held-out samples, smallest training loss.
    loss_curves_ : dict of list of float
        Training curves of the terms of the loss, "supervised", "consistency" and those of the autoencoder. A term is
        NaN in the epochs in which it is not used.
    n_iter_ : int
        Number of epochs of the training with labels.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during ``fit``; defined only if X has feature names that are all strings.

    See Also
    --------
    AutoencoderClassifier : The same for classes.
    AutoencoderTransformer : The autoencoder alone, for pipelines.

    Notes
    -----
    scikit-learn's scorers and folds refuse targets that are NaN: in a search, use ``model_selection.LabelledKFold``,
    with ``classifier=False`` if all targets are integers, and ``labelled_scorer``. ``score`` ignores samples without
    target.

    With k networks and at least 2 k targets, each network has its own ridge regression of the scaled features
    (``RidgeCV``). Both hold out one of k folds of the targets, and the network learns what the ridge regression leaves
    of the others. The prediction is the mean of the ridge regressions, plus the mean of the networks times a weight
    from 0 to 1 that minimizes the squared error of held-out predictions (stacking; Breiman, 1996). So networks that
    overfit few or noisy targets count less. What they add is at most the largest error of the ridge regressions for a
    held-out target. Ridge regressions and weight are learned from at most 2048 targets, evenly spaced.

    Codes are standardized before the head. Gradients are clipped at norm 1.

    References
    ----------
    L. Breiman, "Stacked Regressions", Machine Learning 24, 1996.
    G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006
    (pretraining).
    A. Rasmus et al., "Semi-Supervised Learning with Ladder Networks", NeurIPS 2015 (both losses together).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sk_autoencoder import AutoencoderRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 100, y, np.nan)
    >>> model = AutoencoderRegressor(max_iter=20, random_state=0).fit(X, few)
    >>> model.n_labelled_
    100
    >>> model.predict(X[:3]).shape
    (3,)
    """

    _parameter_constraints = BaseSupervisedAutoencoder._parameter_constraints
    _classifies = False
    _n_outputs = 1

    def __init__(
        self,
        autoencoder: Any = None,
        *,
        training: str = "joint",
        n_encoder_layers: int | None = None,
        n_unfrozen_layers: int | None = None,
        encoder_rate: float = 0.1,
        head_hidden_layer_sizes: Any = (),
        reconstruction_weight: float = 1.0,
        consistency: Any = None,
        n_estimators: int = 5,
        solver: str | Solver = "adam",
        learning_rate_init: float = 0.001,
        learning_rate: Any = "onecycle",
        alpha: float = 1.0,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        early_stopping: bool | float = False,
        n_iter_no_change: int | str = "auto",
        callbacks: list[Any] | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.autoencoder = autoencoder
        self.training = training
        self.n_encoder_layers = n_encoder_layers
        self.n_unfrozen_layers = n_unfrozen_layers
        self.encoder_rate = encoder_rate
        self.head_hidden_layer_sizes = head_hidden_layer_sizes
        self.reconstruction_weight = reconstruction_weight
        self.consistency = consistency
        self.n_estimators = n_estimators
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> AutoencoderRegressor:
        """Fit autoencoder and head.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. NaN are missing values.
        y : array-like of shape (n_samples,)
            Targets; NaN means that the target is unknown.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples, in the losses of autoencoder and head. None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Validation samples for ``early_stopping``, transformed in the same way as X. Those without target are not
            used.
        y_val : array-like of shape (n_validation_samples,) or None, default=None
            Targets of the validation samples.
        sample_weight_val : array-like of shape (n_validation_samples,) or None, default=None
            Weights of the validation samples.

        Returns
        -------
        self : AutoencoderRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If y has no known target, if X contains infinity or no observed value, or if parameters are not compatible.
        """
        self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        targets : ndarray of shape (n_samples,)
            Predictions.
        """
        check_is_fitted(self)
        return self._predicted(check_rows(self, X, reset=False, finite=False))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination on the samples with a known target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Targets; samples whose target is NaN are ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples.

        Returns
        -------
        score : float
            R2: 1 for perfect predictions, 0 for predictions that are all the mean.
        """
        found = self.predict(X)
        check_consistent_length(found, y, sample_weight)
        targets = known_targets(y, len(found))
        known = ~np.isnan(targets)
        if not known.any():
            raise ValueError("y has no known target: R2 needs samples with a target.")
        weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(targets[known], found[known], sample_weight=weight))

    def _parts(self, X: Any) -> np.ndarray:
        """Return what networks and ridge regressions find for validated samples, (2, n_members, n_samples)."""
        read = partial(_read_parts, objective=self.autoencoder_._assembly.objective)
        return np.moveaxis(self.autoencoder_._inference.apply(read, X, 2, np.float64), 2, 0)

    def _predicted(self, X: Any) -> np.ndarray:
        """Predict targets of validated samples."""
        of_networks, linear = self._parts(X).mean(axis=1)
        added = self.network_weight_ * np.clip(of_networks, -self._largest_error, self._largest_error)
        return (linear + added) * self._scale + self._mean

    def _labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        targets = known_targets(y, n_samples)
        labels, self._mean, self._scale = number_targets(targets, weight)
        known = np.flatnonzero(labels[:, 0] > 0)
        if self.n_estimators == 1 or len(known) < 2 * self.n_estimators:
            return labels
        held_out_of = np.full(n_samples, -1)
        held_out_of[known] = np.random.default_rng(len(known)).permutation(len(known)) % self.n_estimators
        return np.column_stack([labels, held_out_of])

    def _validation_labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        targets = known_targets(y, n_samples, "y_val")
        known = np.where(np.isnan(targets), 0.0, 1.0 if weight is None else weight)
        return np.column_stack([known, (np.nan_to_num(targets) - self._mean) / self._scale])

    def _prepare_head(self, model: AutoencoderTransformer, training: Samples) -> None:
        """Fit a ridge regression for each network, to the targets that the network learns."""
        super()._prepare_head(model, training)
        assert training.labels is not None
        if training.labels.shape[1] == 2:  # no target is held out
            return
        X, weight, target, held_out_of = _combined(training)
        objective, module = model._assembly.objective, model.net_.module_
        inputs = model._inference.apply(lambda _, batch: batch.corrupted, X, module.shape.n_inputs, np.float64)[0]
        learned = [held_out_of != member for member in range(self.n_estimators)]
        if min(part.sum() for part in learned) < _FEWEST_FOR_RIDGE:  # early stopping holds out the others
            return
        ridges = [RidgeCV(_PENALTIES).fit(inputs[part], target[part], weight[part]) for part in learned]
        objective.set_linear(
            module, np.array([ridge.coef_ for ridge in ridges]), np.array([ridge.intercept_ for ridge in ridges])
        )

    def _after_labels(self, training: Samples, validation: Samples | None) -> None:
        """Weigh the networks by the targets that they have not learned."""
        assert training.labels is not None
        self.network_weight_, self._largest_error = 1.0, np.inf
        if training.labels.shape[1] == 2:  # no target is held out
            return
        X, weight, target, held_out_of = _combined(training)
        of_network, linear = self._parts(X)[:, held_out_of, np.arange(len(target))]
        error = target - linear
        self._largest_error = np.abs(error).max()
        power = np.average(np.square(of_network), weights=weight)
        if power > 0:
            self.network_weight_ = float(np.clip(np.average(of_network * error, weights=weight) / power, 0, 1))

    def _transduced(self, X: Any, labels: np.ndarray) -> np.ndarray:
        return np.where(labels[:, 0] > 0, labels[:, 1] * self._scale + self._mean, self._predicted(X))


def _combined(training: Samples) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return samples with a target, at most 2048, their weights, targets, and the networks that do not learn them."""
    assert training.labels is not None
    known = np.flatnonzero(training.labels[:, 0] > 0)
    known = known[:: -(-len(known) // _MOST_COMBINED)]
    weight, target, held_out_of = training.labels[known].T
    return training.X[known], weight, target, held_out_of.astype(int)


def _read_parts(network: Autoencoder, batch: Batch, objective: Supervised) -> torch.Tensor:
    parts = objective.predict(network, batch.corrupted), objective.linear(network, batch.corrupted)
    return torch.cat(parts, dim=-1)
