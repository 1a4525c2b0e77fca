"""Classification with few labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length

from sk_autoencoder._labels import UNLABELLED, class_factors, class_targets, encoded_classes, known_labels
from sk_autoencoder._validation import StrOptions, fit_context, reals
from sk_autoencoder._warnings import warn
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._supervised import BaseSupervisedAutoencoder
from sk_autoencoder.solvers import Solver

# A class is rarely predicted below this fraction of its share of the labels, if that is a share of many samples.
_RARELY, _MANY = 0.1, 20


class AutoencoderClassifier(ClassifierMixin, BaseSupervisedAutoencoder):
    """Classifier that learns from samples with and without labels.

    The encoder of an autoencoder maps samples to latent codes, and a head, a small network, predicts the class from
    the code. The autoencoder learns from all samples, the head from those with a label. -1, None, NaN and NA in ``y``
    mean that the label is unknown.

    Features are scaled inside the estimator, no scaler is needed before it.

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
        fifth of the steps the loss of the head on samples without corruption; in the last 70 % if all samples have
        labels.
    n_encoder_layers : int or None, default=None
        Number of layers of the encoder, from the lowest, whose output is the input of the head, with
        ``network="dense"``. None means all, so that the input is the latent code.
    n_unfrozen_layers : int or None, default=None
        Number of layers of the encoder, from the highest, that "finetune" trains. None means all.
    encoder_rate : float, default=0.1
        Factor of the learning rate for the encoder, with "finetune".
    head_hidden_layer_sizes : int or tuple of int, default=()
        Numbers of units in the hidden layers of the head. ``()`` means a linear classifier, logistic regression.
    label_smoothing : float in [0, 1), default=0.0
        Share of the target probability that is distributed equally over all classes. It may raise the accuracy, but
        makes probabilities less confident.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss of labelled samples, positive. "balanced" are weights in inverse proportion
        to the summed weights of the labelled samples of each class.
    reconstruction_weight : float, default=1.0
        Weight of the autoencoder's loss, with "joint".
    consistency : {"virtual_adversarial", "pseudo_label"}, Consistency or None, default="virtual_adversarial"
        Loss of predictions for samples without labels, with "joint". "virtual_adversarial" keeps predictions constant
        in the direction in which they change most, "pseudo_label" treats confident predictions as labels. Objects have
        further parameters, for example ``objectives.VirtualAdversarial(epsilon=0.1)``. If all samples have labels, the
        weight is divided by 3.
    n_estimators : int, default=1
        Number of networks, trained in parallel from different initial weights. Probabilities are averaged, and codes
        are joined.
    solver : {"adam", "sgd"} or Solver, default="adam"
        Optimizer of the training with labels, as in ``AutoencoderTransformer``; so are the following parameters.
    learning_rate_init : float or "auto", default="auto"
        Learning rate; the largest one with the schedules "cosine" and "onecycle". "auto" is 0.003, or 0.01 if all
        samples have labels.
    learning_rate : {"constant", "cosine", "onecycle"} or callable, default="onecycle"
        Schedule of the learning rate.
    alpha : float, default=0.1
        Weight decay, decoupled from the gradient as in AdamW.
    batch_size : int or "auto", default="auto"
        Number of samples in a mini-batch; "auto" is ``min(128, n_samples)``. If some samples have no label, each step
        also takes as many labelled samples, at most all.
    max_iter : int or "auto", default="auto"
        Number of epochs, over all samples. "auto" is the number for 3000 optimizer steps.
    early_stopping : bool or float, default=False
        Whether to stop when the loss of held-out labelled samples no longer decreases, and to restore the best weights.
        These are ``X_val``, if ``fit`` gets it, otherwise a tenth of the labelled samples, stratified by class,
        with True, or the given fraction. ``class_weight`` and ``label_smoothing`` are part of this loss.
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
    classes_ : ndarray of shape (n_classes,)
        Labels of the classes, sorted.
    autoencoder_ : AutoencoderTransformer
        The fitted autoencoder, whose network also has the head.
    net_ : AutoencoderNet
        Its skorch net.
    n_labelled_ : int
        Number of training samples with a label.
    transduction_ : ndarray of shape (n_samples,)
        Labels of the training samples, predicted ones for those without label.
    loss_curve_ : list of float
        Loss of the head after each epoch of the training with labels, on samples with label.
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
    AutoencoderRegressor : The same for numbers as targets.
    AutoencoderTransformer : The autoencoder alone, for pipelines.
    sklearn.semi_supervised.LabelSpreading : Labels spread between near samples; all samples are kept in memory.

    Notes
    -----
    Labels that are exactly -1 and 1 are two classes, as everywhere in scikit-learn, with a ``BinaryLabelsWarning``.

    scikit-learn's cross-validation treats -1 as one more class: in a search, use ``model_selection.LabelledKFold``, so
    that unlabelled samples are in all training sets, and none is in a test set. ``score`` ignores them.

    Estimators that encode the labels before they call ``fit``, such as ``VotingClassifier``, ``StackingClassifier`` and
    ``CalibratedClassifierCV``, make -1 a class of its own. Fit an autoencoder to all samples, and give them
    ``AutoencoderClassifier(FrozenEstimator(autoencoder))`` and the labelled samples only.

    Where classes are not separated by regions with few samples, the consistency can merge them. ``fit`` warns if a
    class is predicted for less than a tenth of the unlabelled samples that its share of the labels would give. If that
    is so for at least half of the classes, and each is predicted for fewer unlabelled samples than it has labels, the
    training is repeated with ``consistency=None``.

    Codes are standardized before the head. Gradients are clipped at norm 1.

    References
    ----------
    G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006
    (pretraining).
    A. Rasmus et al., "Semi-Supervised Learning with Ladder Networks", NeurIPS 2015 (both losses together).
    T. Miyato et al., "Virtual Adversarial Training", IEEE TPAMI 41, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 100, y, -1)
    >>> model = AutoencoderClassifier(max_iter=20, random_state=0).fit(X, few)
    >>> model.n_labelled_
    100
    >>> model.predict(X[:3])
    array([0, 1, 2])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSupervisedAutoencoder._parameter_constraints,
        "label_smoothing": [reals(0, 1)],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "learning_rate_init": [
            *BaseSupervisedAutoencoder._parameter_constraints["learning_rate_init"],
            StrOptions({"auto"}),
        ],
    }
    _classifies = True

    classes_: np.ndarray

    def __init__(
        self,
        autoencoder: Any = None,
        *,
        training: str = "joint",
        n_encoder_layers: int | None = None,
        n_unfrozen_layers: int | None = None,
        encoder_rate: float = 0.1,
        head_hidden_layer_sizes: Any = (),
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        reconstruction_weight: float = 1.0,
        consistency: Any = "virtual_adversarial",
        n_estimators: int = 1,
        solver: str | Solver = "adam",
        learning_rate_init: float | str = "auto",
        learning_rate: Any = "onecycle",
        alpha: float = 0.1,
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
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
    ) -> AutoencoderClassifier:
        """Fit autoencoder and head.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. NaN are missing values.
        y : array-like of shape (n_samples,)
            Labels; -1, None, NaN and NA mean that the label is unknown.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples, in the losses of autoencoder and head. None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Validation samples for ``early_stopping``, transformed in the same way as X. Those without label are not
            used.
        y_val : array-like of shape (n_validation_samples,) or None, default=None
            Labels of the validation samples.
        sample_weight_val : array-like of shape (n_validation_samples,) or None, default=None
            Weights of the validation samples.

        Returns
        -------
        self : AutoencoderClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If y has no label or one class only, if X contains infinity or no observed value, or if parameters are not
            compatible.
        """
        self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The classes with the highest probability.
        """
        chosen = _log_probabilities(self._outputs(X)).argmax(axis=1)
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``, averaged over the networks.
        """
        return np.exp(_log_probabilities(self._outputs(X)))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms of ``predict_proba``.
        """
        return _log_probabilities(self._outputs(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Logarithms of the probabilities; with two classes, the logarithm of the odds of the second one.
        """
        logs = _log_probabilities(self._outputs(X))
        return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the samples with a label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Labels; samples whose label is unknown are ignored.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples.

        Returns
        -------
        score : float
            Fraction of the samples whose class is predicted.
        """
        found = self.predict(X)
        check_consistent_length(found, y, sample_weight)
        known, labels = known_labels(y, classes=self.classes_)
        if not known.any():
            raise ValueError("y has no label: the accuracy needs samples with a known label.")
        weight = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(accuracy_score(labels, found[known], sample_weight=weight))

    def _labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        self.classes_, encoded = encoded_classes(y, n_samples, weight)
        self._factors = class_factors(encoded, self.classes_, weight, self.class_weight)
        return class_targets(encoded, self._factors, weight, self.label_smoothing)

    def _validation_labels(self, y: Any, n_samples: int, weight: np.ndarray | None) -> np.ndarray:
        known, labels = known_labels(y, n_samples, "y_val", self.classes_)
        foreign = np.setdiff1d(labels, self.classes_)
        if foreign.size:
            raise ValueError(f"y_val has classes that y does not have: {foreign.tolist()}.")
        encoded = np.full(n_samples, UNLABELLED)
        encoded[known] = np.searchsorted(self.classes_, labels)
        return class_targets(encoded, self._factors, weight, self.label_smoothing)

    def _transduced(self, X: Any, labels: np.ndarray) -> np.ndarray:
        found = self.classes_[_log_probabilities(self._outputs_of_rows(X)).argmax(axis=1)]
        known = labels[:, 0] > 0
        found[known] = self.classes_[labels[known, 1:].argmax(axis=1)]
        return found

    def _after_labels(self, training: Samples, validation: Samples | None) -> None:
        """Train again without a consistency that has merged the classes."""
        if self.training != "joint" or self.consistency is None:
            return
        assert training.labels is not None
        known, n_classes = training.labels[:, 0] > 0, len(self.classes_)
        given = np.bincount(training.labels[known, 1:].argmax(axis=1), minlength=n_classes)
        found = _log_probabilities(self._outputs_of_rows(training.X))[~known].argmax(axis=1)
        if self._lost_classes(given, np.bincount(found, minlength=n_classes)):
            self._train(training, validation, consistency=None, checkpoint=None)

    def _lost_classes(self, given: np.ndarray, found: np.ndarray) -> bool:
        """Warn of classes that are predicted for far fewer unlabelled samples than their share of the labels.

        Return whether at least half of the classes are lost: predicted for fewer unlabelled samples than they have
        labelled ones. ``given`` are the numbers of labelled samples of the classes, ``found`` those of unlabelled ones.
        """
        expected = given / given.sum() * found.sum()
        rare = (expected >= _MANY) & (found < _RARELY * expected)
        if not rare.any():
            return False
        repeats = 2 * int((rare & (found < given)).sum()) >= len(given)
        cure = (
            "The training is repeated without it, as with consistency=None"
            if repeats
            else "Use consistency=None, or VirtualAdversarial with a smaller epsilon or entropy=0"
        )
        warn(
            f"The classes {self.classes_[rare].tolist()!r} are predicted for less than {_RARELY:.0%} of the unlabelled "
            "samples that their share of the labels would give. If they are not that rare, the consistency has merged "
            f"them with other classes, and probabilities are overconfident. {cure}."
        )
        return repeats

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_)


def _log_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return logarithms of the probabilities, averaged over the networks, (n_samples, n_classes)."""
    logs = outputs - logsumexp(outputs, axis=-1, keepdims=True)
    return logs[0] if len(logs) == 1 else logsumexp(logs, axis=0) - np.log(len(logs))
