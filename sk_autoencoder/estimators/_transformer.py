"""Dimensionality reduction with autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sk_autoencoder._labels import hold_out_labelled
from sk_autoencoder._validation import (
    FLOATS,
    available_unless,
    check_rows,
    check_weight,
    fit_context,
    own_modes,
    reals,
)
from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.estimators import _assembly
from sk_autoencoder.estimators._assembly import Samples
from sk_autoencoder.estimators._latent_space import BaseLatentSpace
from sk_autoencoder.export import Fill, Indicated, Mean, Refined, Scale, Unscale, linear
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Network
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.objectives import Objective
from sk_autoencoder.scaling import Scaling
from sk_autoencoder.solvers import Solver

# Fraction of X that is held out with early_stopping=True.
_HELD_OUT = 0.1


def _needs_validation(estimator: AutoencoderTransformer) -> str | None:
    if estimator.early_stopping:
        return "partial_fit has no validation samples; use early_stopping=False, or fit."
    return None


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseLatentSpace):
    """Autoencoder for dimensionality reduction and denoising.

    The encoder, a neural network, maps samples to latent codes with ``n_components`` components, and the decoder maps
    codes to reconstructions. They are trained together to minimize the reconstruction error. ``transform`` encodes
    samples, ``inverse_transform`` decodes codes. By default, the input is corrupted during training (denoising
    autoencoder).

    With ``corruption=None``, and ``activation="identity"`` or no hidden layers, the network is linear. Then the codes
    span the subspace of PCA, and ``fit`` rotates them to the principal axes. Other activations make the code nonlinear.

    Features are scaled inside the estimator, no scaler is needed before it.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components of the latent code. "auto" is the square root of the number of features, rounded up. More
        components than features are useful with a corruption or dropout; if nothing prevents the network from learning
        the identity, there is a warning. A fraction of the variance is not supported.
    whiten : bool, default=False
        Whether to transform codes to principal components with variance 1, as PCA does: the codes of the samples given
        to ``fit`` are uncorrelated, in decreasing order of their variance before the division by its square root. This
        helps estimators that expect features of equal scale. Collapsed components become 0, see
        ``active_components_``. Training and ``reconstruct`` are not affected; ``inverse_transform`` loses the variation
        along components that are 0.
    network : {"dense", "convolutional", "recurrent", "attention"} or Network, default="dense"
        Architecture of encoder and decoder. Objects have further parameters, for example
        ``Dense(tied_weights=True, dropout=0.2)``, ``Dense(layerwise_pretraining=True)``,
        ``Convolutional(sample_shape=(1, 8, 8))`` or ``Recurrent(sample_shape=(2, 32))``, and the activation of the
        output layer (``out_activation``).
    hidden_layer_sizes : "auto", int or tuple of int, default="auto"
        Numbers of units in the hidden layers of the encoder; the decoder mirrors them. ``()`` means no hidden layers.
        "auto" is three layers: the number of features, but at least 128 and at most 512, then a half and a quarter of
        it. For ``Convolutional``, these are numbers of channels, and "auto" is (16, 32, 64). For
        ``Recurrent``, "auto" is 64, and for ``Attention`` (64, 64).
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
    corruption : {"gaussian", "masking", "swap"}, Corruption or None, default="swap"
        Random change of the input during training, while the target is the clean sample (denoising autoencoder). "swap"
        replaces 15 % of the values by values of the same feature in other samples. This reduces overfitting, in
        particular with few samples. None is a plain autoencoder. Use it to find the subspace of PCA with a linear
        network; with many samples of few features, it may also give more accurate reconstructions.
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
        the fraction of steps done to a factor of ``learning_rate_init``. ``partial_fit`` uses a constant learning rate.
        A callback that sets the learning rate, such as skorch's ``LRScheduler``, replaces the schedule, with a warning
        unless the schedule is "constant".
    alpha : float, default=0.1
        Weight decay, decoupled from the gradient as in AdamW.
    batch_size : int or "auto", default="auto"
        Number of samples in a mini-batch. "auto" is ``min(128, n_samples)``.
    max_iter : int or "auto", default="auto"
        Number of epochs. "auto" is the number for 3000 optimizer steps. If the network needs more than 3 million
        multiplications per sample (dense by default: above about 2300 features), the number of steps is reduced in
        inverse proportion, to at least 100, with a warning.
    early_stopping : bool or float, default=False
        Whether to stop when the loss of validation samples no longer decreases, and to restore the best weights. These
        samples are ``X_val``, if ``fit`` gets it. Otherwise, they are drawn at random from X and held out: a tenth of X
        with True, or the given fraction, a float in (0, 1).
    n_iter_no_change : int or "auto", default="auto"
        Number of epochs without improvement after which training stops. "auto" is a tenth of all epochs, at least 10.
        Smaller numbers may stop training during the warm-up of "onecycle", with a warning.
    warm_start : bool, default=False
        Whether ``fit`` continues from the current weights and scaling. Changes of the loss, corruption, ``alpha``,
        learning rate, momentum, ``input_margin``, batch size, number of epochs, early stopping and callbacks take
        effect. Changes of the network, its sizes, the objective, scaling, ``add_indicator``, class of solver,
        precision, device and ``random_state`` raise an error.
    checkpoint : path-like or None, default=None
        Directory of the file ``training.npz``, which ``fit`` writes after each epoch. After an interruption, the same
        ``fit`` in a new process continues from this file, with identical results. If the file belongs to other
        parameters or samples, or is damaged or compressed, an error is raised. The file is not deleted after training.
        The state of user-defined callbacks is not stored.
    callbacks : list of skorch callbacks or None, default=None
        Callbacks of the training loop. Shallow copies are used, which are stored in ``net_.callbacks_``. Parameters of
        a callback are ``callbacks__<name>__<parameter>``, with the name of a pair (name, callback) or that of the
        class.
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
    net_ : AutoencoderNet
        The trained skorch net; ``net_.module_`` is the torch module.
    n_components_ : int
        Number of components of the latent code.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during ``fit``; defined only if X has feature names that are all strings.
    n_iter_ : int
        Number of epochs of training.
    loss_curve_ : list of float
        Training loss of each epoch, the mean over samples and features. With the adversarial objective, the
        curves and ``best_loss_`` are of the reconstruction loss.
    validation_loss_curve_ : list of float
        Validation loss of each epoch; empty without validation samples.
    loss_curves_ : dict of list of float
        Training curve of each term of the objective; empty if the objective has only one term.
    stage_loss_curves_ : list of list of float
        Training loss of each epoch, for each layer in layer-wise pretraining; empty without it.
    best_loss_ : float
        Smallest validation loss or, without validation samples, smallest training loss.
    components_ : ndarray of shape (n_components_, n_features_in_)
        Principal axes of the reconstructions in the units of X, as in PCA: rows are orthonormal, and ``transform``
        returns coordinates along them (without ``whiten``). Defined only after ``fit`` with a linear dense network and
        an objective without prior or sparsity penalty.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Fraction of the variance of X along each of ``components_``, in decreasing order.
    active_components_ : ndarray of shape (n_active,)
        Indices of the components that have not collapsed, in decreasing order of their variance over the training
        samples; defined only with a variational or adversarial objective (from at most 4096 samples) or
        ``whiten=True``. With these objectives, a component has collapsed if the variance of its codes, which are means
        with a variational objective, is at most 0.01 (Burda et al., 2016), so that the decoder does not use it. Other
        components have collapsed if their variance is 0 up to rounding errors.

    See Also
    --------
    sklearn.decomposition.PCA : Linear dimensionality reduction; much faster, and better with few samples.

    Notes
    -----
    **When training ends**

    ==================== ===================================================================================
    Parameter            Effect
    ==================== ===================================================================================
    ``max_iter``         Maximum number of epochs.
    ``early_stopping``   If True or a fraction, training stops when the validation loss no longer decreases,
                         and the weights of the epoch with the smallest one are restored. If False, the
                         weights of the last epoch are kept.
    ``n_iter_no_change`` Number of successive epochs without a new minimum of the validation loss after
                         which training stops. Not used with ``early_stopping=False``.
    ``callbacks``        A callback can stop training too. With ``early_stopping``, the best weights are
                         restored also in this case.
    ==================== ===================================================================================

    With the defaults, training ends after ``max_iter`` epochs. With ``early_stopping``, there is a
    ``ConvergenceWarning`` if ``max_iter`` is reached first. ``X_val`` without ``early_stopping`` is evaluated after
    each epoch, but does not end training. ``partial_fit`` always trains for one epoch.

    To stop when the training loss no longer decreases, use skorch's ``EarlyStopping`` as a callback. With a corruption,
    this loss varies at random, so that a small ``patience`` may stop training too early::

        from skorch.callbacks import EarlyStopping
        EarlyStopping(monitor="train_loss", patience=10, threshold=1e-4, threshold_mode="abs", lower_is_better=True)

    With ``monitor="valid_loss"``, it uses the validation loss. It prints a line, unless ``sink=skorch.utils.noop``.

    **Missing values.** NaN, and None or NA in object and nullable columns, are missing values, in training and
    validation samples as well as later ones. Statistics of the scaling, losses and ``score`` are those of the observed
    values: the loss of a sample is the mean over its observed values. In place of a missing value, the
    network gets the mean of the feature or, in the last 40 % of the training and after it, its own reconstruction,
    computed twice and first from means; with ``add_indicator=True`` also an indicator. ``reconstruct`` returns its
    value for every feature. Masking hides values as missing ones, and Swap takes the other sample's value or gap. A
    feature without observed values is left out, with a warning, and its reconstruction is NaN; samples without observed
    values are left out of training, with a warning.

    **Privacy.** A pickled model contains information about its training samples: the mean, variance, minimum and
    maximum of each feature, the losses of each epoch and, unless the objective has a prior, the codes of at most 4096
    samples, from which they can be reconstructed approximately.

    References
    ----------
    G. Hinton and R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.
    Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016 (active components).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(n_components=2, max_iter=5, random_state=0)
    >>> codes = autoencoder.fit_transform(X)
    >>> codes.shape
    (1797, 2)
    >>> autoencoder.inverse_transform(codes).shape
    (1797, 64)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseLatentSpace._parameter_constraints,
        "whiten": ["boolean"],
        "early_stopping": ["boolean", reals(0, 1, closed="neither")],
    }
    _input_margin = 1.0

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        whiten: bool = False,
        network: str | Network = "dense",
        hidden_layer_sizes: Any = "auto",
        activation: str = "silu",
        objective: str | Objective = "reconstruction",
        loss: str | Loss = "squared_error",
        corruption: str | Corruption | None = "swap",
        scaling: str | Scaling | None = "auto",
        add_indicator: bool = False,
        solver: str | Solver = "adam",
        learning_rate_init: float = 0.005,
        learning_rate: str | Callable[[float], float] = "onecycle",
        alpha: float = 0.1,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        early_stopping: bool | float = False,
        n_iter_no_change: int | str = "auto",
        warm_start: bool = False,
        checkpoint: Any = None,
        callbacks: list[Any] | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.n_components = n_components
        self.whiten = whiten
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
        self.early_stopping = early_stopping
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
        self, X: Any, y: Any = None, *, sample_weight: Any = None, X_val: Any = None, sample_weight_val: Any = None
    ) -> AutoencoderTransformer:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. NaN are missing values.
        y : Ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the training samples, not negative: a weight of 2 has the effect of a second copy of the sample
            in the mini-batch. Samples with weight 0 are left out. None means equal weights.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Validation samples. Their loss is computed after each epoch, and ``early_stopping`` uses it. They must be
            transformed in the same way as X; if they differ strongly from X, there is a warning. In a pipeline, use
            ``Pipeline(steps, transform_input=["X_val"])``, see the example below.
        sample_weight_val : array-like of shape (n_validation_samples,) or None, default=None
            Weights of the validation samples.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted transformer.

        Raises
        ------
        ValueError
            If X contains infinity or no observed value, if parameters are not compatible, or if the training diverges.

        Examples
        --------
        A pipeline whose first step also transforms ``X_val``:

        >>> import sklearn
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.pipeline import Pipeline
        >>> from sklearn.preprocessing import PowerTransformer
        >>> from sk_autoencoder import AutoencoderTransformer
        >>> X = load_wine().data
        >>> autoencoder = AutoencoderTransformer(max_iter=20, random_state=0)
        >>> with sklearn.config_context(enable_metadata_routing=True):
        ...     steps = [("power", PowerTransformer()), ("code", autoencoder.set_fit_request(X_val=True))]
        ...     pipeline = Pipeline(steps, transform_input=["X_val"]).fit(X[::2], X_val=X[1::2])
        >>> len(pipeline["code"].validation_loss_curve_)
        20
        """
        X = check_rows(self, X, reset=not self._continues())
        training = _assembly.used_samples(X, check_weight(sample_weight, X))
        self._fit(training, X_val, sample_weight_val)
        return self

    @available_unless(_needs_validation)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> AutoencoderTransformer:
        """Train for one epoch on X, with the scaling of the first call.

        Not available with ``early_stopping``, which needs validation samples. With ``whiten``, the whitening is
        computed from the samples of the last call that had more samples than components.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. Those of the first call should be representative, because they determine the scaling.
            With ``whiten``, the first call should have more samples than components.
        y : Ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples, as in ``fit``.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted transformer.
        """
        X = check_rows(self, X, reset=not self.__sklearn_is_fitted__())
        self._partial_fit(_assembly.used_samples(X, check_weight(sample_weight, X)))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components_)
            Latent codes; float32 if X is float32, otherwise float64.
        """
        X = self._check(X)
        return self._inference.encode(X)[0]

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Decode latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Latent codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            Decoded samples, in the units of the training set.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOATS, input_name="X")
        if codes.shape[1] != self.n_components_:
            raise ValueError(f"Codes have {self.n_components_} components, but X has {codes.shape[1]} columns.")
        return self._inference.decode(codes)[0]

    def score(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> float:
        """Return the fraction of variance explained by the reconstruction, averaged over the features.

        The score of a feature is 1 - (mean squared error / variance in the training set). It is 1 for perfect
        reconstructions, and about 0 for the means of the training set. All features have the same weight, whatever
        their units. The score does not depend on loss and scaling, so that a search can compare them. Features that
        were constant in the training set are ignored.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : Ignored
            Not used, present for API consistency by convention.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights of the samples in the mean squared errors. None means equal weights.

        Returns
        -------
        score : float
            Mean score, at most 1. The scores of single features are clipped to at least -1, to limit the effect of
            features with rare values. 0 if all features were constant.
        """
        X = self._check(X)
        weight = check_weight(sample_weight, X)
        sums, total = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        for part, squares in self._inference.squared_errors(X):
            if weight is not None:
                squares *= weight[part][:, None]
            own = squares.sum(axis=0)
            total += len(squares) if weight is None else weight[part].sum()
            if np.isnan(own).any():
                missing = np.isnan(squares)
                own = np.nansum(squares, axis=0)
                total -= missing.sum(axis=0) if weight is None else weight[part] @ missing
            sums += own
        counted = self._statistics.varies & (total > 0)
        scores = 1 - sums[counted] / self._statistics.variance[counted] / total[counted]
        return float(np.maximum(scores, -1).mean()) if counted.any() else 0.0

    @own_modes()
    def to_torch(self) -> tuple[nn.Module, nn.Module]:
        """Return the encoder and the decoder as torch modules that include the scaling.

        They are on the device that the model was trained on; ``to`` moves them.

        Returns
        -------
        encoder : torch.nn.Module
            Maps samples of shape (n_samples, n_features_in_) and any float type to latent codes.
        decoder : torch.nn.Module
            Maps latent codes of shape (n_samples, n_components_) to float64 samples in the units of the training set.

        Examples
        --------
        >>> import numpy as np, torch
        >>> from sk_autoencoder import AutoencoderTransformer
        >>> X = np.random.default_rng(0).normal(size=(100, 5))
        >>> model = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(X)
        >>> encoder, decoder = model.to_torch()
        >>> bool(np.allclose(encoder(torch.tensor(X)).detach(), model.transform(X), atol=1e-5))
        True
        """
        check_is_fitted(self)
        encoder, decoder = self.net_.module_.plain()
        scale = Scale(*self._affine, dtype=self._shape.torch_dtype)
        last: list[nn.Module] = [Mean(self.n_components_)] if self._shape.n_encoded > self.n_components_ else []
        first: list[nn.Module] = []
        for center, turn, back in self._turns():
            last.append(linear(turn, -center @ turn, self._shape.torch_dtype))
            first.insert(0, linear(back, center, self._shape.torch_dtype))
        seen: list[nn.Module] = [Fill(self._fill, self._shape.torch_dtype)]
        if self._bounds is not None:
            seen.append(InputBounds(self._bounds, self._shape.torch_dtype))
        if self._shape.indicators:
            seen = [Indicated(nn.Sequential(*seen), self._shape.indicators)]
        if self._refines:
            network = nn.Sequential(*encoder, Mean(self.n_components_), *decoder)
            seen = [Refined(nn.Sequential(*seen), network)]
        modules = (
            nn.Sequential(scale, *seen, *encoder, *last),
            nn.Sequential(*first, *decoder, Unscale(*self._affine)),
        )
        return modules[0].to(self.net_.device).eval(), modules[1].to(self.net_.device).eval()

    @property
    def _validates(self) -> bool:
        return bool(self.early_stopping)

    def _check_holding_out(self, n_rows: int) -> None:
        if self.early_stopping and n_rows < 2:
            raise ValueError(
                f"early_stopping={self.early_stopping!r} holds out validation samples and needs at least 2 samples, "
                "got 1 sample; use early_stopping=False or pass X_val."
            )

    def _split(self, training: Samples, hold_out: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        if not hold_out:
            return None, None
        n_rows = training.X.shape[0]
        chosen = self._plain("early_stopping")
        fraction = _HELD_OUT if chosen is True else chosen
        if training.labels is not None:
            return hold_out_labelled(training.labels, fraction, self._plan.seed, self._assembly.objective.classifies)
        n_held_out = min(n_rows - 1, max(1, round(fraction * n_rows)))
        return tuple(train_test_split(np.arange(n_rows), test_size=n_held_out, random_state=self._plan.seed))

    def _before_training(self, endless: bool) -> None:
        if self._assembly.objective.keeps_codes:
            return
        for name in ("_axes", "components_", "explained_variance_ratio_", "active_components_", "_whitening"):
            # partial_fit keeps the whitening if a call has too few samples to compute a new one.
            if hasattr(self, name) and not (endless and name == "_whitening"):
                delattr(self, name)

    def _after_training(self, samples: Samples, endless: bool) -> None:
        if self._assembly.objective.keeps_codes:
            return
        straight = self.net_.module_.linear and self.n_components_ <= self.n_features_in_
        if straight and self._assembly.objective.turnable and not endless:
            self._turn(samples)
        if self.whiten:
            self._whiten(samples)
        self._keep_for_later(samples)

    def _finish(self) -> None:
        super()._finish()
        self._inference.turn_code(self._turns())

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
