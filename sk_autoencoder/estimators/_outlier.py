"""Autoencoders as outlier detectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import rounding
from sk_autoencoder._threads import SCORING, threads
from sk_autoencoder._validation import StrOptions, available_unless, check_rows, fit_context, integers, reals
from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.estimators import _assembly
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.estimators._folds import N_FOLDS, Folds
from sk_autoencoder.estimators._training_samples import TrainingSamples
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Network
from sk_autoencoder.objectives import Evaluation, Objective
from sk_autoencoder.scaling import Scaling
from sk_autoencoder.scores import SCORES, OutlierScore
from sk_autoencoder.scores.base import State
from sk_autoencoder.scores.combined import name_of
from sk_autoencoder.solvers import Solver
from sk_autoencoder.thresholds import THRESHOLDS, Quantile, Threshold


def _explains_no_features(estimator: AutoencoderOutlierDetector) -> str | None:
    score = SCORES[estimator.outlier_score]() if isinstance(estimator.outlier_score, str) else estimator.outlier_score
    if score.explains_features:
        return None
    names = ", ".join(repr(name) for name, kind in SCORES.items() if kind().explains_features)
    return f"outlier_score={estimator.outlier_score!r} cannot be shared among features; these can: {names}."


def _offset(threshold: Threshold, scores: np.ndarray, held_out: np.ndarray) -> float:
    """Return the offset of ``decision_function``: scores that equal the threshold but for rounding are not above it."""
    limit = threshold(scores, held_out)
    return -(limit + rounding(limit))


def _labels(decisions: np.ndarray) -> np.ndarray:
    return np.where(decisions < 0, -1, 1)


class AutoencoderOutlierDetector(OutlierMixin, BaseAutoencoder):
    """Find rows that a network trained on the others cannot explain.

    Several denoising autoencoders are trained in one batched program, each on four fifths of the samples. The samples
    that a member never saw show how large errors are on new normal samples, and calibrate scores, thresholds and
    p-values. The default score combines what the networks say with what the samples say alone.

    A training sample is judged by the member that held it out, so ``fit_predict`` and ``labels_`` are right for the
    table that the detector was fitted on, and ``predict`` for new samples.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Size of the code. "auto" is the width of the first hidden layer where noise on the input keeps the network from
        copying, and the square root of the number of features, rounded up, where nothing but a narrow code does.
    outlier_score : str or OutlierScore, default="combined"
        How samples are scored; what is compared with the training set, or with samples that were held out of it:

        - "combined": ``Combined()``, several of the scores below on a common scale.
        - "reconstruction": the mean squared residual.
        - "mahalanobis": the residual, by its Mahalanobis length.
        - "residual_distance": the residual, with its nearest neighbours.
        - "code_distance": the latent code, with its nearest neighbours.
        - "sample_distance": the sample, with its nearest neighbours.
        - "rank_distance": the sample in ranks and logarithms, with its nearest neighbours.
        - "sample_isolation": the sample, with few training samples, many times.
        - "reconstruction_isolation": the reconstruction, with few reconstructions, many times.
        - "feature_tails": each feature, with its distribution.
        - "kl": the divergence of the code from the prior, with ``objective="variational"``.
        - "elbo": the negative evidence lower bound, with ``objective="variational"``.
    contamination : float, {"auto", "tail", "conformal"} or Threshold, default="auto"
        Where strange turns into an outlier. A float in (0, 0.5] is the share of the training rows that are outliers.
        "auto" is ``Auto()``, "tail" ``Tail()`` and "conformal" ``Conformal()``, rules on the scores of held-out rows.
    n_estimators : int, default=5
        Members of the ensemble. They differ in initial weights, order, noise and held-out samples; their scores are
        averaged. There are as many folds as members, at most 5. A single member holds out a fifth of the samples, and
        judges all of the training samples though it was trained on most of them.
    hidden_layer_sizes : "auto", int or tuple of int, default="auto"
        Widths of the layers between row and code; the decoder mirrors them. ``()`` means none. "auto" is one
        layer as wide as the row, but at least 128 and at most 512. For ``Convolutional``, sizes are channels, and
        "auto" is 16.
    activation : str, default="silu"
        Activation of the hidden layers: "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
        "softplus", "tanh" or "sigmoid". Names only, since each comes with initial weights, a derivative and a form for
        export; write other activations into modules of your own (``networks.Custom``).
    network : {"dense", "convolutional"} or Network, default="dense"
        How encoder and decoder are wired, for example ``Dense(tied_weights=True, dropout=0.2)``. The network holds the
        activation of the output (``out_activation``), layer-wise pretraining (``Dense(layerwise_pretraining=True)``)
        and how samples are read (``Convolutional(sample_shape=(1, 8, 8))``).
    objective : {"reconstruction", "variational"} or Objective, default="reconstruction"
        What is learnt from a batch: to rebuild it, perhaps from a sparse code (``Reconstruction(sparsity="l1")``), or
        its distribution (``Variational(beta=1.0)``).
    loss : {"squared_error", "absolute_error", "huber", "binary_cross_entropy"} or Loss, default="squared_error"
        Error of a cell, on scaled rows.
    corruption : {"gaussian", "masking", "swap"}, Corruption or None, default="gaussian"
        Noise on the input during training; the clean row stays the target (denoising). "gaussian" has a standard
        deviation of 0.3 in scaled units.
    scaling : {"auto", "standard", "minmax", "robust"}, Scaling or None, default="auto"
        How columns are scaled inside the network. "auto" is "standard", or "minmax" for the binary cross-entropy.
        None is for rows that are already scaled. The unit of "standard" is the standard deviation, but at least the
        median deviation of the values that differ from the median: 1 for rare ones among zeros.
    input_margin : float or None, default=None
        How far beyond its range in the training set a feature enters the network unchanged, in units of standard
        scaling. A distance d beyond that enters as ``log(1 + d)``, so that one extreme cell does not decide the whole
        reconstruction. Targets, residuals and outlier scores are not bounded. None sets no bound.
    solver : {"adam", "sgd"} or Solver, default="adam"
        Optimizer, for example ``solvers.SGD(momentum=0.5)``, or any torch optimizer by ``solvers.Custom``.
    learning_rate_init : float, default=0.005
        Learning rate, the highest one if it follows a schedule.
    learning_rate : {"constant", "cosine", "onecycle"} or callable, default="onecycle"
        Schedule of the learning rate over the steps of ``fit``: "onecycle" starts at a 25th of ``learning_rate_init``,
        rises for 30 % of the steps, and falls to 0. A callable takes the share of the steps that are done, and returns
        a factor of ``learning_rate_init``. A callback that sets the rate, like skorch's ``LRScheduler``, takes its
        place, with a warning unless the schedule is "constant".
    alpha : float, default=0.0
        Weight decay, decoupled from the gradient: "adam" with ``alpha`` is AdamW.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch. "auto" is 128, or all rows if there are fewer.
    max_iter : int or "auto", default="auto"
        Epochs. "auto" is as many as hold 500 optimizer steps, but at most 100; beyond 2000 columns, fewer in inverse
        proportion (at least 100 steps) and a warning.
    tol : float or None, default=None
        Smallest fall of the loss (of the validation loss with ``restore_best``) that counts as progress; a member
        stops after ``n_iter_no_change`` epochs without it. None trains for ``max_iter`` epochs.
    restore_best : bool, default=True
        Restore each member's weights of the epoch with the smallest loss on the samples that the member holds out, or
        on ``X_val``. False keeps the weights of the last epoch.
    n_iter_no_change : int, "auto" or None, default=None
        Epochs to wait for progress before a member stops. None trains for ``max_iter`` epochs in any case. "auto" is a
        tenth of all epochs, at least 10. A warning tells when a smaller number stops training while the rate of
        "onecycle" is still low.
    warm_start : bool, default=False
        Let ``fit`` go on from the present weights and scaling. Parameters that have changed are followed where
        weights can: loss, corruption, alpha, rate, momentum, batches, epochs, stopping, callbacks. A change of the
        network, its widths, objective, scaling, kind of solver, precision, device or seed raises an error. A larger
        ``n_estimators`` adds new members, and the solver's state begins anew.
    device : str or torch.device, default="auto"
        "cpu", "cuda" or "cuda:<index>". "auto" is CUDA if there is one, else the CPU. A stored model opens on the CPU
        where there is no such device.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Number type of the network. "bfloat16" trains in mixed precision: matrix products in bfloat16, weights in
        float32; a device without the instructions uses float32 and warns.
    callbacks : list of skorch callbacks or None, default=None
        Called by the training loop; shallow copies are used, found afterwards in ``net_.callbacks_``. Parameters of a
        callback are ``callbacks__<name>__<parameter>``, with its name in a pair (name, callback) or its class's name.
        ``on_grad_computed`` is called for each member in turn, so that ``skorch.callbacks.GradientNormClipping`` clips
        each by itself.
    checkpoint : path-like or None, default=None
        A directory in which ``fit`` keeps one file, ``training.npz``, replaced after each epoch. The same ``fit`` in a
        new process goes on from there to the same bits; a file of other parameters or rows, or a damaged or compressed
        one, raises an error. The file stays when training is done. The state of own callbacks is not kept.
    random_state : int, RandomState instance or None, default=None
        Source of initial weights, order of samples and noise. None draws one number from numpy's global generator.
    verbose : bool or int, default=False
        Show one progress bar with loss and time left.

    Attributes
    ----------
    offset_ : float
        ``decision_function`` is ``score_samples`` minus this.
    training_scores_ : ndarray of shape (n_samples,)
        ``score_samples`` of the training samples, in the order of X. Each is judged by the members that held it out.
        There are none, and all members judge samples that they were trained on, with ``n_estimators=1``, fewer than 10
        samples, or after ``warm_start`` on other samples.
    labels_ : ndarray of shape (n_samples,)
        1 for normal training samples, -1 for outliers; follows ``recalibrate``.
    calibration_scores_ : ndarray of shape (n_held_out,)
        Outlier scores of samples while they were held out of training, sorted: all training samples, but one in five
        with ``n_estimators=1``. Below 10 training samples nothing is held out and these are all of them.
    net_ : AutoencoderNet
        The trained skorch net; ``net_.module_`` is the torch module with all members.
    n_components_ : int
        Size of the code.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string names for all of them.
    n_iter_ : int
        Epochs trained.
    loss_curve_ : list of float
        Training loss of each epoch, the mean over members, rows and features.
    validation_loss_curve_ : list of float
        The same on validation rows; empty without them.
    loss_curves_ : dict of list of float
        Training curves of the objective's terms, when it has more than one.
    stage_loss_curves_ : list of list of float
        Training loss of each epoch of each layer, the lowest first; empty without ``layerwise_pretraining``.
    best_loss_ : float
        The smallest validation loss or, without validation rows, training loss.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Random trees; no training of weights, and strong on contaminated rows.
    sklearn.neighbors.LocalOutlierFactor : Density among neighbours.

    Notes
    -----
    A stored detector contains training samples: scores that compare, among them parts of the default score, keep up to
    a few thousand scaled samples for each member, sorted values of each feature, and the scaling that turns them back.
    It also holds the scores of all training samples, the losses of each epoch, and keys that tell whether a sample was
    in the training set, until ``forget_training_samples`` is called. Where samples must stay private, keep the file as
    private as they are, or choose a score that does not compare, like ``outlier_score="reconstruction"``.

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
        **BaseAutoencoder._parameter_constraints,
        "outlier_score": [StrOptions(set(SCORES)), OutlierScore],
        "contamination": [StrOptions(set(THRESHOLDS)), Threshold, reals(0, 0.5, closed="right")],
        "n_estimators": [integers(1)],
        "restore_best": ["boolean"],
        "n_iter_no_change": [*BaseAutoencoder._parameter_constraints["n_iter_no_change"], None],
    }
    _training_steps = 500
    _most_epochs = 100
    _hidden_layers = 1
    _wide_code = True

    offset_: float
    calibration_scores_: np.ndarray
    training_scores_: np.ndarray
    _training_samples: TrainingSamples | None
    _n_folds: int

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        outlier_score: str | OutlierScore = "combined",
        contamination: float | str | Threshold = "auto",
        n_estimators: int = 5,
        hidden_layer_sizes: Any = "auto",
        activation: str = "silu",
        network: str | Network = "dense",
        objective: str | Objective = "reconstruction",
        loss: str | Loss = "squared_error",
        corruption: str | Corruption | None = "gaussian",
        scaling: str | Scaling | None = "auto",
        input_margin: float | None = None,
        solver: str | Solver = "adam",
        learning_rate_init: float = 0.005,
        learning_rate: str | Callable[[float], float] = "onecycle",
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float | None = None,
        restore_best: bool = True,
        n_iter_no_change: int | str | None = None,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        precision: str = "float32",
        callbacks: list[Any] | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.n_components = n_components
        self.outlier_score = outlier_score
        self.contamination = contamination
        self.n_estimators = n_estimators
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.network = network
        self.objective = objective
        self.loss = loss
        self.corruption = corruption
        self.scaling = scaling
        self.input_margin = input_margin
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.restore_best = restore_best
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None) -> AutoencoderOutlierDetector:
        """Train on rows, most of which are normal.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Samples to validate on: their loss is recorded after each epoch, and ``restore_best`` watches it. They
            must have passed the same steps as X; a warning tells when they lie far from it. Behind a scaler write
            ``Pipeline(steps, transform_input=["X_val"])``, see the example in ``AutoencoderTransformer.fit``.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If X holds anything but finite numbers, if parts do not fit together, or if the loss diverges.
        """
        X = check_rows(self, X, reset=not self._continues())
        score = resolve(SCORES, self.outlier_score)
        objective = _assembly.assemble(self).objective
        missing = set(score.required_terms) - set(objective.terms)
        if missing:
            raise ValueError(
                f"outlier_score={self.outlier_score!r} needs {sorted(missing)}, but objective={self.objective!r} "
                f"gives {sorted(objective.terms)}; choose another score or objective."
            )
        threshold = self._threshold(self.contamination)
        new = not self._continues()
        before = None if new else self._training_samples
        self._fit(X, X_val)
        self._score = score.settled()
        self._calibrate(X, new=new, before=before)
        self.offset_ = _offset(threshold, -self.training_scores_, self.calibration_scores_)
        return self

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> np.ndarray:
        """Fit, and call the training samples normal or outliers: each is judged by members that held it out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : Ignored
            Not used, present for API consistency by convention.
        **kwargs : dict
            Passed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            ``labels_``: 1 for normal samples, -1 for outliers, as ``predict(X)`` would return.
        """
        return self.fit(X, y, **kwargs).labels_

    @property
    def labels_(self) -> np.ndarray:
        """Verdict on each training sample, in the order of X."""
        check_is_fitted(self)
        return _labels(self.training_scores_ - self.offset_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Score rows; higher is more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Minus the outlier score, averaged over the members.
        """
        X = self._check(X)
        return self._score_samples(X, self._voters(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Score rows relative to the threshold; negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        decisions : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Call rows normal or outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            1 for normal rows, -1 for outliers.
        """
        return _labels(self.decision_function(X))

    def p_values(self, X: Any) -> np.ndarray:
        """Share of held-out training samples that are at least as strange.

        For samples from the distribution of the training samples, a p-value is at most a with a probability of about
        a. A training sample is compared with the other training samples only.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            Numbers in [1 / (n_held_out + 1), 1]; small for outliers.
        """
        X = self._check(X)
        voters = self._voters(X)
        scores = -self._score_samples(X, voters)
        n_held_out = len(self.calibration_scores_)
        as_strange = self.calibration_scores_ + rounding(self.calibration_scores_)
        stranger = n_held_out - np.searchsorted(as_strange, scores, side="left")
        # A training sample stands among the held-out scores itself.
        new = 1 if voters is None else ~voters.any(axis=0)
        return np.maximum(new + stranger, 1) / (new + n_held_out)

    def recalibrate(
        self, X: Any = None, contamination: float | str | Threshold | None = None
    ) -> AutoencoderOutlierDetector:
        """Move ``offset_`` without training again.

        A ``contamination`` that is given becomes the detector's parameter, so that ``get_params`` says what
        ``offset_`` and ``labels_`` follow from.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or None, default=None
            Samples whose scores the rule sees. None means the training samples.
        contamination : float, str, Threshold or None, default=None
            The rule, as in the constructor. None means the detector's own.

        Returns
        -------
        self : AutoencoderOutlierDetector
            The detector with another ``offset_``.
        """
        check_is_fitted(self)
        contamination = self.contamination if contamination is None else contamination
        threshold = self._threshold(contamination)
        if X is None:
            offset = _offset(threshold, -self.training_scores_, self.calibration_scores_)
        else:
            X = self._check(X)
            scores = -self._score_samples(X, self._voters(X))
            offset = _offset(threshold, scores, np.sort(scores))
        self.offset_, self.contamination = offset, contamination
        return self

    def forget_training_samples(self) -> AutoencoderOutlierDetector:
        """Drop the keys by which training samples are recognised.

        Keys tell whoever holds the model and a sample whether the model was trained on it. Without them, training
        samples are judged by all members, like new samples, among them those that were trained on them; ``labels_``,
        ``training_scores_`` and ``offset_`` stay as they are. Parts of the default score keep some training samples as
        they are: see Notes.

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
        """Say what each feature adds to the outlier score of a sample.

        Available when the outlier score, or a component of it, can be shared among features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_features_in_)
            Addends of the outlier score, larger for stranger features. ``Combined`` shares each of the components that
            decide on a sample, its largest ones, among the features, by the squares of what these add to it. Addends of
            ``Mahalanobis`` can be negative, and without the code's share add up to less than the score with
            ``on="code+residual"``.
        """
        X = self._check(X)

        def votes(evaluation: Evaluation, state: State) -> torch.Tensor:
            totals = self._score.votes(evaluation, state)[..., None]
            return torch.cat([totals, self._score.feature_votes(evaluation, state)], dim=-1)

        def combine(mean: torch.Tensor) -> torch.Tensor:
            return self._score.combine_features(mean[..., 0], mean[..., 1:])

        return self._scored(X, self._voters(X), votes, combine)

    def component_scores(self, X: Any) -> dict[str, np.ndarray]:
        """Give the components of the outlier score before any common scale.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : dict of ndarray of shape (n_samples,)
            Each component's score by its name, larger for stranger rows.
        """
        X = self._check(X)
        names: list[str] = []

        def stacked(evaluation: Evaluation, state: State) -> torch.Tensor:
            found = self._score.components(evaluation, state, name_of(self._score))
            names[:] = found
            return torch.stack(list(found.values()), dim=-1)

        scores = self._scored(X, self._voters(X), stacked, lambda mean: mean)
        return dict(zip(names, scores.T, strict=True))

    def __sklearn_is_fitted__(self) -> bool:
        # An interrupted fit leaves a net, but no threshold.
        return hasattr(self, "offset_")

    def _before_training(self, endless: bool) -> None:
        # Whatever ends the training, an old threshold does not fit the new scores.
        if hasattr(self, "offset_"):
            del self.offset_

    def _prepare(self, X: np.ndarray, X_val: np.ndarray | None, save: bool = False) -> None:
        super()._prepare(X, X_val, save)
        # Members that are added later hold out the same folds.
        self._n_folds = N_FOLDS if self._shape.n_members == 1 else min(N_FOLDS, self._shape.n_members)

    def _n_members(self) -> int:
        return self._plain("n_estimators")

    def _threshold(self, choice: float | str | Threshold) -> Threshold:
        if isinstance(choice, str) and choice not in THRESHOLDS:
            raise ValueError(f"contamination={choice!r} is no rule; use a share in (0, 0.5] or {sorted(THRESHOLDS)}.")
        if not isinstance(choice, str | Threshold):
            choice = Quantile(choice)
        return resolve(THRESHOLDS, choice)

    def _voters(self, X: np.ndarray) -> np.ndarray | None:
        """Training samples are judged by the members that held them out; None: there are none."""
        if self._training_samples is None:
            return None
        folds = self._training_samples.find(X)
        return self._voting(folds) if folds.any() else None

    def _voting(self, folds: np.ndarray) -> np.ndarray:
        """Members that vote on samples in some folds, given as bits: (n_members, n_samples)."""
        of_member = (np.arange(self._shape.n_members) % self._n_folds).astype(np.uint8)
        return (folds >> of_member[:, None]) & 1 > 0

    def _score_samples(self, X: np.ndarray, voters: np.ndarray | None) -> np.ndarray:
        return -self._scored(X, voters, self._score.votes, self._score.combine)

    def _scored(
        self,
        X: np.ndarray,
        voters: np.ndarray | None,
        votes: Callable[[Evaluation, State], torch.Tensor],
        combine: Callable[[torch.Tensor], torch.Tensor],
    ) -> np.ndarray:
        objective = self._read_objective()
        return self._inference.score(X, objective, self._plan.loss, votes, combine, self._score.uses_references, voters)

    def _read_objective(self) -> Objective | None:
        """Return the objective if the score reads its terms."""
        return self._assembly.objective if self._score.uses_terms else None

    @property
    def _validates(self) -> bool:
        return bool(self.restore_best)

    def _split(self, n_rows: int, hold_out: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Each member trains on all samples but its fold, and validates on its fold."""
        folds = self._folds(n_rows)
        return folds.trained(), folds.held_out() if hold_out else None

    def _folds(self, n_rows: int) -> Folds:
        return Folds.draw(np.arange(n_rows), self._shape.n_members, self._n_folds, self._plan.seed)

    def _calibrate(self, X: np.ndarray, new: bool, before: TrainingSamples | None) -> None:
        """Learn each member's score from samples that others held out, and judge all training samples.

        ``before`` are the samples that the members were trained on earlier, unless they are ``new``.
        """
        n_samples = X.shape[0]
        folds = self._folds(n_samples)
        read = partial(self._inference.evaluate, X, objective=self._read_objective(), loss=self._plan.loss)
        held_out = read(folds.held_out())
        references = read(folds.references()) if self._score.uses_references else held_out[:, :0]
        others = torch.from_numpy(folds.others).to(held_out.target.device)
        # Several scores compare with references.
        with threads(4 * references.target.numel() * held_out.target.shape[1], SCORING):
            state = self._score.fit(references, held_out, others)
            self._score_state = {name: value.cpu().numpy().copy() for name, value in state.items()}
        self._load_score_state()
        self._training_samples = None
        if folds.cover:
            samples = TrainingSamples.remember(X, folds.of_samples(n_samples), self._statistics.varies)
            # Members that went on training on other samples may have seen these before.
            if new or (before is not None and before.equal(samples)):
                self._training_samples = samples
        self.training_scores_ = self._score_samples(X, self._voters(X))
        if self._training_samples is None and folds.n_folds > 1:
            self.calibration_scores_ = np.sort(self._crossed(references, held_out)[: folds.n_folds].ravel())
        else:
            self.calibration_scores_ = np.sort(-self.training_scores_)

    def _crossed(self, references: Evaluation, held_out: Evaluation) -> np.ndarray:
        """Score each member's held-out samples, (n_members, n), each half with a state learnt from the other half."""
        half = held_out.target.shape[1] // 2
        halves = held_out[:, :half], held_out[:, half:]
        scores = [
            self._score.combine(self._score.votes(scored, self._score.fit(references, learnt)))
            for scored, learnt in zip(halves, reversed(halves), strict=True)
        ]
        return torch.cat(scores, dim=1).cpu().numpy()

    def _finish(self) -> None:
        super()._finish()
        self._load_score_state()

    def _load_score_state(self) -> None:
        device = torch.device(self.net_.device)
        arrays = getattr(self, "_score_state", {})
        self._inference.state = {name: torch.tensor(array, device=device) for name, array in arrays.items()}
