"""Outlier detection with autoencoders."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._rounding import rounding
from sk_autoencoder._validation import (
    StrOptions,
    available_unless,
    check_groups,
    check_rows,
    check_weight,
    fit_context,
    has_missing,
    integers,
    reals,
)
from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.estimators import _assembly
from sk_autoencoder.estimators._copies import as_copies, repeated
from sk_autoencoder.estimators._fit_warnings import (
    DISTINCT,
    warn_of_copies,
    warn_of_low_threshold,
    warn_of_outliers,
)
from sk_autoencoder.estimators._voting import BaseVotingDetector, offset_of
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Network
from sk_autoencoder.objectives import Evaluation, Objective
from sk_autoencoder.scaling import Scaling, row_blocks
from sk_autoencoder.scores import SCORES, OutlierScore
from sk_autoencoder.scores.base import State
from sk_autoencoder.scores.combined import name_of
from sk_autoencoder.solvers import Solver
from sk_autoencoder.thresholds import THRESHOLDS, Evidence, Quantile, Threshold


def _explains_no_features(estimator: AutoencoderOutlierDetector) -> str | None:
    choice = getattr(estimator, "_score", estimator.outlier_score)  # that of the fit, if there was one
    score = SCORES[choice]() if isinstance(choice, str) else choice
    if score.explains_features:
        return None
    names = ", ".join(repr(name) for name, kind in SCORES.items() if kind().explains_features)
    return f"outlier_score={name_of(score)!r} has no contributions of features; these have: {names}."


def _labels(decisions: np.ndarray) -> np.ndarray:
    return np.where(decisions < 0, -1, 1)


class AutoencoderOutlierDetector(OutlierMixin, BaseVotingDetector):
    """Outlier detection with an ensemble of denoising autoencoders.

    Each ensemble member is trained on four fifths of the samples by default, and holds out the others. Outlier scores,
    thresholds and p-values are calibrated with the held-out samples. The default score combines scores of residuals and
    reconstructions with scores that do not use the networks.

    Training samples are scored by the members that held them out, so that ``fit_predict``, ``labels_``, and ``predict``
    on the training set are comparable to ``predict`` on new samples.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components of the latent code. "auto" is the size of the first hidden layer for denoising autoencoders
        (with a corruption, hidden layers and an objective that does not limit the code itself), otherwise the square
        root of the number of features, rounded up.
    outlier_score : str or OutlierScore, default="combined"
        How outlier scores are computed. Distances are those to the nearest training samples:

        - "combined": ``Combined()``, several of the scores below on a common scale. With ``novelty=True``, these are
          the mean of the two largest of "mahalanobis", ``ResidualDistance(1)`` and "dependence_tree",
          ``SampleDistance(1, 3072)``, "relative_distance" and "feature_tails", of which the three largest count,
          without damping and clipping. There is no dependence tree if the network has a ``sample_shape``.
        - "reconstruction": mean squared residual.
        - "mahalanobis": Mahalanobis distance of the residual.
        - "sensor_error": standardised logarithm of the mean squared residual; ``SensorError(n_sensors)`` is that of the
          sensor for which it is largest, in samples of several sensors.
        - "residual_distance": distance of the residual to residuals of training samples.
        - "code_distance": distance of the latent code to codes of training samples.
        - "sample_distance": distance of the sample to training samples.
        - "rank_distance": the same, by ranks and logarithms of the features.
        - "relative_distance": the same, relative to the distances between the nearest training samples.
        - "sample_isolation": distance of the sample to small random subsets of the training set, averaged.
        - "reconstruction_isolation": the same for reconstructions.
        - "feature_tails": tail probabilities of each feature.
        - "dependence_tree": probabilities of pairs of values, relative to those of the values alone.
        - "kl": divergence of the posterior from the prior, with ``objective="variational"``.
        - "elbo": negative evidence lower bound, with ``objective="variational"``.
    contamination : float, {"auto", "tail", "conformal"} or Threshold, default="auto"
        Rule for the threshold of outlier scores. A float in (0, 0.5] is the fraction of outliers in the training set.
        "auto" is ``Auto()``, "tail" is ``Tail()`` and "conformal" is ``Conformal()``; they use the scores of held-out
        samples. "auto" flags about 1 % of clean samples, or is "tail" if components of the score agree that there are
        outliers. With ``novelty=True``, "auto" is ``Conformal()``.
    novelty : bool, default=False
        Whether all training samples are inliers, as in novelty detection in the sense of scikit-learn's user guide.
        True selects other defaults: "combined" has other components, without isolation, damping and clipping, which
        only contaminated training sets need, and the threshold "auto" is "conformal", so that at most 5 % of new
        inliers are called outliers. ``max_iter="auto"`` is 100 steps. An explicit score or threshold is not changed.
        All methods remain available, unlike with the parameter of that name of ``LocalOutlierFactor``. ``fit`` warns if
        the scores of held-out training samples contradict it.
    n_estimators : int, default=5
        Number of ensemble members, whose scores are averaged. They differ in initial weights, mini-batches, noise and
        held-out samples. There are as many folds as members, but at most 5. A single member holds out a fifth of the
        samples; then all training samples are scored by this member, also those that it was trained on. So a float
        ``contamination`` flags more new samples than training samples; ``fit`` warns if they are more than twice as
        many.
    network : {"dense", "convolutional", "recurrent", "attention"} or Network, default="dense"
        Architecture of encoder and decoder. Objects have further parameters, for example
        ``Dense(tied_weights=True, dropout=0.2)``, ``Dense(layerwise_pretraining=True)``,
        ``Convolutional(sample_shape=(1, 8, 8))`` or ``Recurrent(sample_shape=(2, 32))``, and the activation of the
        output layer (``out_activation``).
    hidden_layer_sizes : "auto", int or tuple of int, default="auto"
        Numbers of units in the hidden layers of the encoder; the decoder mirrors them. ``()`` means no hidden layers.
        "auto" is one layer: the number of features, but at least 128 and at most 512. For ``Convolutional``, these are
        numbers of channels, and "auto" is 16. For ``Recurrent``, "auto" is 64, and for
        ``Attention`` (64, 64).
    activation : str, default="silu"
        Activation function of the hidden layers: "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu",
        "mish", "softplus", "tanh" or "sigmoid". For other functions, use ``networks.Custom``.
    objective : {"reconstruction", "variational", "adversarial"} or Objective, default="reconstruction"
        Function that is minimized. "reconstruction" is the reconstruction loss, with an optional sparsity penalty
        (``Reconstruction(sparsity="l1")``). "variational" is the negative evidence lower bound of a variational
        autoencoder (``Variational(beta=1.0)``). "adversarial" adds a discriminator, which tells latent codes from
        draws of the standard normal distribution (``Adversarial(weight=0.1)``).
    loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"} or Loss, default="squared_error"
        Reconstruction loss, averaged over the features in scaled units.
    corruption : {"gaussian", "masking", "swap"}, Corruption or None, default="gaussian"
        Random change of the input during training, while the target is the clean sample (denoising autoencoder).
        "gaussian" adds noise with a standard deviation of 0.3 in scaled units. None is a plain autoencoder.
    scaling : {"auto", "standard", "minmax", "robust"}, Scaling or None, default="auto"
        Scaling of the features, which is part of the model. "auto" is "standard", or "minmax" for the binary
        cross-entropy. "standard" divides by the standard deviation, but at least by the median of the nonzero absolute
        deviations from the median, which is 1 for a binary feature with few ones. None is no scaling. Objects have
        further parameters: ``Standard(shared_scale=True)`` divides features in one unit, like pixels, by one number,
        and ``Standard(input_margin=1.0)`` limits the effect of values outside the training range of their feature.
    add_indicator : bool, default=False
        Whether the network gets one more input for each feature with missing values in ``fit``: 1 where the value is
        missing, 0 otherwise. With a ``sample_shape``, and in networks that read samples as sequences, there is one more
        channel for each channel. If no values are missing when training begins, there are no further inputs. This is
        useful in particular if values are not missing at random. Tied weights do not support it.
    solver : {"adam", "sgd"} or Solver, default="adam"
        Optimizer: AdamW, or stochastic gradient descent with momentum (``solvers.SGD(momentum=0.5)``). Use
        ``solvers.Custom`` for other torch optimizers.
    learning_rate_init : float, default=0.005
        Learning rate; the largest one with the schedules "cosine" and "onecycle".
    learning_rate : {"constant", "cosine", "onecycle"} or callable, default="onecycle"
        Schedule of the learning rate over the optimizer steps of ``fit``. "cosine" decreases to 0. "onecycle" increases
        from a 25th of ``learning_rate_init`` during the first 30 % of the steps, then decreases to 0. A callable maps
        the fraction of steps done to a factor of ``learning_rate_init``. A callback that sets the learning rate, such
        as skorch's ``LRScheduler``, replaces the schedule, with a warning unless the schedule is "constant".
    alpha : float, default=0.0
        Weight decay, decoupled from the gradient as in AdamW.
    batch_size : int or "auto", default="auto"
        Number of samples in a mini-batch. "auto" is ``min(128, n_samples)``.
    max_iter : int or "auto", default="auto"
        Number of epochs. "auto" is the number for 500 optimizer steps, at most 100 epochs, or for 150 steps, at most 40
        epochs, if most components of ``outlier_score`` do not use the network, as in "combined" (100 steps with
        ``novelty=True``). More steps give more
        accurate expected values (``reconstruct``). If the network needs more than 3 million multiplications per sample
        (dense by default: above about 2300 features), the number of steps is reduced in inverse proportion, to at least
        100, with a warning.
    restore_best : bool, default=True
        Whether to restore, for each member, the weights of the epoch with the smallest validation loss.
    n_iter_no_change : int, "auto" or None, default=None
        Number of epochs without improvement after which a member stops. None never stops, "auto" is a tenth of all
        epochs, at least 10. Smaller numbers may stop training during the warm-up of "onecycle", with a warning.
    warm_start : bool, default=False
        Whether ``fit`` continues from the current weights and scaling. Changes of the loss, corruption, ``alpha``,
        learning rate, momentum, ``input_margin``, batch size, number of epochs, early stopping and callbacks take
        effect. Changes of the network, its sizes, the objective, scaling, ``add_indicator``, class of solver,
        precision, device and ``random_state`` raise an error. A larger ``n_estimators`` adds members, and resets the
        state of the solver.
    checkpoint : path-like or None, default=None
        Directory of the file ``training.npz``, which ``fit`` writes after each epoch. After an interruption, the same
        ``fit`` in a new process continues from this file, with identical results. If the file belongs to other
        parameters or samples, or is damaged or compressed, an error is raised. The file is not deleted after training.
        The state of user-defined callbacks is not stored.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training loop. Shallow copies are used, which are stored in ``net_.callbacks_``. Parameters of
        a callback are ``callbacks__<name>__<parameter>``, with the name of a pair (name, callback) or that of the
        class. ``on_grad_computed`` is called for each member separately, so that
        ``skorch.callbacks.GradientNormClipping`` clips the gradients of each member by their own norm.
    device : str or torch.device, default="auto"
        "cpu", "cuda" or "cuda:<index>". "auto" is CUDA if available, else the CPU. A pickled model is loaded to the CPU
        if its device is not available.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Data type of the network. "bfloat16" is mixed precision: matrix products in bfloat16, weights in float32.
        Devices without instructions for bfloat16 use float32, with a warning.
    random_state : int, RandomState instance or None, default=None
        Seed or generator for initial weights, mini-batches, noise and held-out samples. None draws a seed from numpy's
        global generator.
    verbose : bool or int, default=False
        Whether to show a progress bar with the loss and the remaining time.

    Attributes
    ----------
    offset_ : float
        Threshold of ``score_samples``: ``decision_function(X) = score_samples(X) - offset_``.
    training_scores_ : ndarray of shape (n_samples,)
        ``score_samples`` of the training samples, in the order of X. Each is scored by the members that held it out, or
        by all members if ``n_estimators=1``, with fewer than 10 samples, or after ``warm_start`` with other samples.
    labels_ : ndarray of shape (n_samples,)
        Labels of the training samples: 1 for inliers, -1 for outliers. ``recalibrate`` updates them.
    calibration_scores_ : ndarray of shape (n_held_out,)
        Sorted outlier scores of held-out samples: all training samples, or a fifth of them, at
        most 2000, with ``n_estimators=1``.
        With fewer than 10 training samples, these are the scores of all of them, and none is held out.
    net_ : AutoencoderNet
        The trained skorch net; ``net_.module_`` is the torch module of all members.
    n_components_ : int
        Number of components of the latent code.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during ``fit``; defined only if X has feature names that are all strings.
    n_iter_ : int
        Number of epochs of training.
    loss_curve_ : list of float
        Training loss of each epoch, the mean over members, samples and features. With the adversarial objective, the
        curves and ``best_loss_`` are of the reconstruction loss.
    validation_loss_curve_ : list of float
        Validation loss of each epoch; empty without validation samples.
    loss_curves_ : dict of list of float
        Training curve of each term of the objective; empty if the objective has only one term.
    stage_loss_curves_ : list of list of float
        Training loss of each epoch, for each layer in layer-wise pretraining; empty without it.
    best_loss_ : float
        Smallest validation loss or, without validation samples, smallest training loss.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Isolation by random trees; robust to contaminated training sets.
    sklearn.neighbors.LocalOutlierFactor : Local density, compared with that of the nearest neighbors.

    Notes
    -----
    **When training ends**

    ==================== ===================================================================================
    Parameter            Effect
    ==================== ===================================================================================
    ``max_iter``         Maximum number of epochs.
    ``restore_best``     If True, the validation loss of each member is monitored, on the samples that it
                         holds out or on ``X_val``, and the weights of the epoch with the smallest one are
                         restored. If False, the weights of the last epoch are kept.
    ``n_iter_no_change`` Number of successive epochs without a new minimum of its validation loss after
                         which a member stops. Training ends when all members have stopped. With None, no
                         member stops. Not used with ``restore_best=False``.
    ``callbacks``        A callback can stop the training of all members. With ``restore_best=True``, the
                         best weights are restored also in this case.
    ==================== ===================================================================================

    With the defaults, training ends after ``max_iter`` epochs, and the best weights are restored. If
    ``n_iter_no_change`` is used, there is a ``ConvergenceWarning`` if ``max_iter`` is reached first. Members that have
    stopped are trained on until all have stopped; this does not affect their final weights. ``X_val`` with
    ``restore_best=False`` is evaluated after each epoch, but does not end training.

    To stop when the training loss, the mean over the members, no longer decreases, use skorch's ``EarlyStopping`` as a
    callback. With a corruption, this loss varies at random, so that a small ``patience`` may stop training too early::

        from skorch.callbacks import EarlyStopping
        EarlyStopping(monitor="train_loss", patience=10, threshold=1e-4, threshold_mode="abs", lower_is_better=True)

    With ``monitor="valid_loss"``, it uses the validation loss. It prints a line, unless ``sink=skorch.utils.noop``.

    **Missing values.** NaN, and None or NA in object and nullable columns, are missing values. The loss of a sample is
    the mean over its observed values, and networks are trained with the means of features in place of missing values.
    Before a sample is scored, its missing values are replaced by those of the nearest of 512 training samples, by the
    squared distance over its observed features (hot-deck imputation). So scores compare complete samples, and clean
    samples with missing values are not more outlying than others. With scores that store no samples, the network gets
    its own reconstruction in place of missing values, as in ``AutoencoderTransformer``, the target of the residual is
    the mean, and "reconstruction" is the mean over observed values. A sample without observed values is scored as a
    typical training sample.

    **Privacy.** A pickled detector contains training samples: scores that compare with training samples, as the default
    score does, store up to a few thousand scaled samples for each member, the sorted values of each feature, and the
    scaling. The detector also contains the scores of all training samples, the losses of each epoch and, until
    ``forget_training_samples`` is called, keys that identify training samples. If the samples are private, keep the
    file private too, or use a score that does not store samples, such as ``outlier_score="reconstruction"``.

    References
    ----------
    S. Hawkins et al., "Outlier Detection Using Replicator Neural Networks", DaWaK 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_autoencoder import AutoencoderOutlierDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)) @ [[1.0, 0.5, 0.2], [0.0, 1.0, -0.4]]
    >>> detector = AutoencoderOutlierDetector(contamination=0.05, random_state=0).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    10
    >>> detector.predict([[6.0, -6.0, 6.0]])
    array([-1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseVotingDetector._parameter_constraints,
        "outlier_score": [StrOptions(set(SCORES)), OutlierScore],
        "contamination": [StrOptions(set(THRESHOLDS)), Threshold, reals(0, 0.5, closed="right")],
        "novelty": ["boolean"],
        "n_estimators": [integers(1)],
        "restore_best": ["boolean"],
        "n_iter_no_change": [*BaseVotingDetector._parameter_constraints["n_iter_no_change"], None],
    }

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        outlier_score: str | OutlierScore = "combined",
        contamination: float | str | Threshold = "auto",
        novelty: bool = False,
        n_estimators: int = 5,
        network: str | Network = "dense",
        hidden_layer_sizes: Any = "auto",
        activation: str = "silu",
        objective: str | Objective = "reconstruction",
        loss: str | Loss = "squared_error",
        corruption: str | Corruption | None = "gaussian",
        scaling: str | Scaling | None = "auto",
        add_indicator: bool = False,
        solver: str | Solver = "adam",
        learning_rate_init: float = 0.005,
        learning_rate: str | Callable[[float], float] = "onecycle",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        restore_best: bool = True,
        n_iter_no_change: int | str | None = None,
        warm_start: bool = False,
        checkpoint: Any = None,
        callbacks: list[Any] | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.n_components = n_components
        self.outlier_score = outlier_score
        self.contamination = contamination
        self.novelty = novelty
        self.n_estimators = n_estimators
        self.network = network
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.objective = objective
        self.loss = loss
        self.corruption = corruption
        self.scaling = scaling
        self.add_indicator = add_indicator
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.restore_best = restore_best
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        X_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> AutoencoderOutlierDetector:
        """Fit the detector to X, most of whose samples should be inliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. NaN are missing values.
        y : Ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the training samples, not negative: a weight of 2 has the effect of a second copy of the sample
            in the same fold, also on scores and thresholds. If the mean of the positive weights is less than 1, they
            are divided by it where samples are counted. Samples with weight 0 are left out, and scored like new
            samples. None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Validation samples. Their loss is computed after each epoch, and ``restore_best`` uses it. They must be
            transformed in the same way as X; if they differ strongly from X, there is a warning. In a pipeline, use
            ``Pipeline(steps, transform_input=["X_val"])``, see the example in ``AutoencoderTransformer.fit``.
        sample_weight_val : array-like of shape (n_validation_samples,) or None, default=None
            Weights of the validation samples.
        groups : array-like of shape (n_samples,) or (n_samples, n_groups) or None, default=None
            Ids of groups, such as machines, patients or blocks of a time series. Members hold out whole groups, so that
            no training sample is scored by a member that was trained on samples of its group, unless there is only one
            member. With several columns, the first is the group of the sample; the others are groups that it shares
            data with, as overlapping windows do. A member that holds out one of them is not trained on the sample.
            There are at most five folds, and no more than groups. Members beyond the number of folds hold out none:
            they are trained on all samples, their validation loss is that of training samples, and they alone score
            new samples. None holds out single samples.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If X contains infinity or no observed value, if parameters are not compatible, if there are not at least two
            groups, or if the training diverges.
        """
        X = check_rows(self, X, reset=not self._continues())
        groups = None if groups is None else check_groups(groups, X.shape[0])
        training = _assembly.used_samples(X, check_weight(sample_weight, X), groups=groups)
        score = self._chosen_score()
        objective = _assembly.assemble(self).objective
        missing = set(score.required_terms) - set(objective.terms)
        if missing:
            raise ValueError(
                f"outlier_score={self.outlier_score!r} needs {sorted(missing)}, but objective={self.objective!r} "
                f"has the terms {sorted(objective.terms)}; use another score or objective."
            )
        score.check_features(X.shape[1])
        threshold = self._threshold(self.contamination)
        self._check_folds(training)
        if groups is None and self._n_members() > 1:
            warn_of_copies(training.X)
        from_scratch = not self._continues()
        earlier = None if from_scratch else self._training_samples
        self._fit(training, X_val, sample_weight_val)
        self._score = score
        self._calibrate(X, training, from_scratch, earlier)
        scores = repeated(-self.training_scores_, self._copies)
        self.offset_ = offset_of(threshold, scores, self.calibration_scores_, Evidence(*self._evidence))
        if isinstance(threshold, Quantile) and self._training_samples is None:
            warn_of_low_threshold(threshold.contamination, self.calibration_scores_, -self.offset_)
        if self.novelty and self._distinct(training.X) > DISTINCT:
            warn_of_outliers(self.calibration_scores_, self._score.is_log_scale)
        return self

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> np.ndarray:
        """Fit the detector, and predict whether the training samples are outliers.

        Each sample is scored by the members that held it out, see ``training_scores_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples.
        y : Ignored
            Not used, present for API consistency by convention.
        **kwargs : dict
            Passed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 for inliers, -1 for outliers; equal to ``labels_`` and ``predict(X)``.
        """
        return self.fit(X, y, **kwargs).labels_

    @property
    def labels_(self) -> np.ndarray:
        """Labels of the training samples, in the order of X."""
        check_is_fitted(self)
        return _labels(self.training_scores_ - self.offset_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the negative outlier scores of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Negative outlier scores, averaged over the members (those of "combined" for each component); lower for
            outliers.
        """
        X = self._check(X)
        return self._score_samples(X, self._voters(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the negative outlier scores of samples, shifted so that the threshold is 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        decisions : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``; negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Predict whether samples are outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 for inliers, -1 for outliers.
        """
        return _labels(self.decision_function(X))

    def p_values(self, X: Any) -> np.ndarray:
        """Compute conformal p-values: the fraction of held-out samples with an equal or higher outlier score.

        For samples from the distribution of the training samples, the probability of a p-value of at most a is about a.
        A training sample is compared with the other training samples only.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            p-values in [1 / (n_held_out + 1), 1]; small for outliers.
        """
        X = self._check(X)
        voters = self._voters(X)
        scores = -self._score_samples(X, voters)
        n_held_out = len(self.calibration_scores_)
        upper = self.calibration_scores_ + rounding(self.calibration_scores_)
        at_least_as_large = n_held_out - np.searchsorted(upper, scores, side="left")
        # The held-out scores include those of training samples themselves.
        new = 1 if voters is None else ~voters[self._of_members() >= 0].any(axis=0)
        return np.maximum(new + at_least_as_large, 1) / (new + n_held_out)

    def recalibrate(
        self, X: Any = None, contamination: float | str | Threshold | None = None, *, sample_weight: Any = None
    ) -> AutoencoderOutlierDetector:
        """Compute ``offset_`` with another threshold rule or other samples, without training.

        If ``contamination`` is given, the parameter of the detector is set to it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or None, default=None
            Samples whose scores are used. None means the training samples.
        contamination : float, str, Threshold or None, default=None
            Rule, as in the constructor. None means the parameter of the detector.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples in X, as in ``fit``. The training samples keep the weights that they have.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The detector with the new ``offset_``.
        """
        check_is_fitted(self)
        if isinstance(X, str | Threshold | numbers.Real):
            raise TypeError(f"recalibrate takes samples first; write recalibrate(contamination={X!r}).")
        contamination = self.contamination if contamination is None else contamination
        threshold = self._threshold(contamination)
        if X is None:
            if sample_weight is not None:
                raise ValueError("sample_weight was given without X; the weights of the training samples are known.")
            scores, held_out = repeated(-self.training_scores_, self._copies), self.calibration_scores_
            evidence = Evidence(*self._evidence)
        else:
            X = self._check(X)
            copies = as_copies(_assembly.used_weight(X, check_weight(sample_weight, X)))
            scores, evidence = self._scores_and_evidence(X, self._voters(X), copies)
            scores = held_out = repeated(-scores, copies)
        offset = offset_of(threshold, scores, held_out, evidence)
        self.offset_, self.contamination = offset, contamination
        return self

    def forget_training_samples(self) -> AutoencoderOutlierDetector:
        """Delete the keys that identify training samples.

        With keys, it is possible to find out whether a given sample was in the training set. Without them, training
        samples are scored like new samples, by all members, including those that were trained on them. ``labels_``,
        ``training_scores_`` and ``offset_`` are not changed. The default score also stores some training samples, see
        Notes of the class.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The detector without keys.
        """
        check_is_fitted(self)
        self._training_samples = None
        return self

    @available_unless(_explains_no_features)
    def feature_scores(self, X: Any) -> np.ndarray:
        """Return the contribution of each feature to the outlier scores.

        Available only if the outlier score, or a component of it, has contributions of features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_features_in_)
            Contributions, larger for outlying features, NaN for missing values. ``Combined`` divides each of the
            largest components of a sample, which determine its score, among the features, in proportion to the squares
            of their contributions to the component. Contributions to ``Mahalanobis`` can be negative. With
            ``on="code+residual"``, their sum is less than the score, because the part of the code is not included.
        """
        X = self._check(X)

        def votes(evaluation: Evaluation, state: State) -> torch.Tensor:
            totals = self._score.votes(evaluation, state)[..., None]
            return torch.cat([totals, self._score.feature_votes(evaluation, state)], dim=-1)

        def combine(mean: torch.Tensor) -> torch.Tensor:
            return self._score.combine_features(mean[..., 0], mean[..., 1:])

        scores = self._scored(X, self._voters(X), votes, combine)
        if has_missing(X) or self._statistics.absent.any():
            start = 0
            for block in row_blocks(X):
                scores[start : start + len(block)][np.isnan(block) | self._statistics.absent] = np.nan
                start += len(block)
        return scores

    def component_scores(self, X: Any) -> dict[str, np.ndarray]:
        """Return the components of the outlier scores, before they are brought to a common scale.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : dict of ndarray of shape (n_samples,)
            Scores by the name of the component; larger for outliers.
        """
        X = self._check(X)
        names: list[str] = []

        def stacked(evaluation: Evaluation, state: State) -> torch.Tensor:
            found = self._score.components(evaluation, state, name_of(self._score))
            names[:] = found
            return torch.stack(list(found.values()), dim=-1)

        scores = self._scored(X, self._voters(X), stacked, lambda mean: mean)
        return dict(zip(names, scores.T, strict=True))
