"""Autoencoders as transformers."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sk_autoencoder._validation import FLOATS, available_unless, check_rows, fit_context, own_modes, reals
from sk_autoencoder.corruptions import Corruption
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.estimators._latent import (
    ACTIVE,
    N_CODES,
    active_components,
    draw_like,
    one_row,
    principal_axes,
    whitening_axes,
)
from sk_autoencoder.export import Mean, Scale, Unscale, linear
from sk_autoencoder.inference import Axes
from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Network
from sk_autoencoder.networks.bounds import InputBounds
from sk_autoencoder.objectives import OBJECTIVES, Objective
from sk_autoencoder.scaling import Scaling
from sk_autoencoder.solvers import Solver

# Draws from the posterior of each row behind its log-likelihood.
_N_DRAWS = 200
# Streams of what is drawn at fit for later.
_CODES, _DRAWS = 1, 2


def _objective_lacks(method: str) -> Callable[[Any], str | None]:
    """Say that an estimator's objective has no such method, if it has none."""

    def reason(estimator: AutoencoderTransformer) -> str | None:
        choice = estimator.objective
        if hasattr(OBJECTIVES.get(choice) if isinstance(choice, str) else choice, method):
            return None
        return f"objective={choice!r} has no {method}; use objective='variational'."

    return reason


def _needs_validation(estimator: AutoencoderTransformer) -> str | None:
    if estimator.early_stopping:
        return "partial_fit sees no validation rows; use early_stopping=False, or fit."
    return None


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseAutoencoder):
    """Learn a code of each row from which the row can be rebuilt.

    A neural network is trained to return its input through a layer of ``n_components`` numbers, the code.
    ``transform`` gives the code, ``inverse_transform`` the row that it stands for. With
    ``activation="identity"`` or no hidden layers, and ``corruption=None``, the code spans the subspace of PCA, and
    ``fit`` turns it onto its principal axes; other activations bend it. By default the network learns from corrupted
    rows (denoising).

    Rows are scaled inside the network, so no scaler is needed in front of it.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Size of the code. "auto" is the square root of the number of features, rounded up. A code wider than the
        row is allowed and useful with a corruption or dropout; without either, one warning says so. A share of the
        variance is not supported.
    whiten : bool, default=False
        Turn codes onto their principal axes and divide by their standard deviations, as PCA does: over the samples
        given to ``fit``, components are uncorrelated with variance 1, in falling order of their variance before. This
        suits classifiers that expect features of one scale. Components along which codes do not vary are 0, see
        ``active_components_``. Training is the same, and so are reconstructions, but for what a variational code says
        along components that are 0.
    hidden_layer_sizes : "auto", int or tuple of int, default="auto"
        Widths of the layers between row and code; the decoder mirrors them. ``()`` means none. "auto" is three
        layers: as wide as the row, but at least 128 and at most 512, then half and a quarter of that.
        For ``Convolutional``, sizes are channels, and "auto" is 16, 32 and 64.
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
    corruption : {"gaussian", "masking", "swap"}, Corruption or None, default="swap"
        Noise on the input during training; the clean row stays the target (denoising). "swap" replaces 15 % of the
        cells by the value that another row has in the same column. The network has to use the other cells of the row
        to rebuild these, and overfits less, above all with few rows. None is a plain autoencoder; a linear network
        needs it to find the subspace of PCA, and with many rows and few features it may rebuild them better.
    scaling : {"auto", "standard", "minmax", "robust"}, Scaling or None, default="auto"
        How columns are scaled inside the network. "auto" is "standard", or "minmax" for the binary cross-entropy.
        None is for rows that are already scaled. The unit of "standard" is the standard deviation, but at least the
        median deviation of the values that differ from the median: 1 for rare ones among zeros.
    input_margin : float or None, default=1.0
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
        a factor of ``learning_rate_init``. ``partial_fit`` keeps the rate constant. A callback that sets the rate, like
        skorch's ``LRScheduler``, takes its place, with a warning unless the schedule is "constant".
    alpha : float, default=0.1
        Weight decay, decoupled from the gradient: "adam" with ``alpha`` is AdamW.
    batch_size : int or "auto", default="auto"
        Rows of a mini-batch. "auto" is 128, or all rows if there are fewer.
    max_iter : int or "auto", default="auto"
        Epochs. "auto" is as many as hold 3000 optimizer steps; beyond 2000 columns, fewer in inverse proportion
        (at least 100 steps) and a warning, so that the time is that of 2000 columns.
    tol : float or None, default=None
        Smallest fall of the loss (of the validation loss with ``early_stopping``) that counts as progress; training
        stops after ``n_iter_no_change`` epochs without it. None trains for ``max_iter`` epochs.
    early_stopping : bool, default=False
        Hold out ``validation_fraction`` of the rows (or use ``X_val``), stop when their loss no longer falls, and
        restore the weights that were best for them.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out, drawn at random.
    n_iter_no_change : int or "auto", default="auto"
        Epochs to wait for progress. "auto" is a tenth of all epochs, at least 10: while the rate of "onecycle" is
        low, progress is slow and uneven. A warning tells when a smaller number stops training at that stage.
    warm_start : bool, default=False
        Let ``fit`` go on from the present weights and scaling. Parameters that have changed are followed where
        weights can: loss, corruption, alpha, rate, momentum, batches, epochs, stopping, callbacks. A change of the
        network, its widths, objective, scaling, kind of solver, precision, device or seed raises an error.
    device : str or torch.device, default="auto"
        "cpu", "cuda" or "cuda:<index>". "auto" is CUDA if there is one, else the CPU. A stored model opens on the CPU
        where there is no such device.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Number type of the network. "bfloat16" trains in mixed precision: matrix products in bfloat16, weights in
        float32; a device without the instructions uses float32 and warns.
    callbacks : list of skorch callbacks or None, default=None
        Called by the training loop; shallow copies are used, found afterwards in ``net_.callbacks_``. Parameters of a
        callback are ``callbacks__<name>__<parameter>``, with its name in a pair (name, callback) or its class's name.
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
    net_ : AutoencoderNet
        The trained skorch net; ``net_.module_`` is the torch module.
    n_components_ : int
        Size of the code.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had string names for all of them.
    n_iter_ : int
        Epochs trained.
    loss_curve_ : list of float
        Training loss of each epoch, the mean over rows and features.
    validation_loss_curve_ : list of float
        The same on validation rows; empty without them.
    loss_curves_ : dict of list of float
        Training curves of the objective's terms, when it has more than one.
    stage_loss_curves_ : list of list of float
        Training loss of each epoch of each layer, the lowest first; empty without ``layerwise_pretraining``.
    best_loss_ : float
        The smallest validation loss or, without validation rows, training loss.
    components_ : ndarray of shape (n_components_, n_features_in_)
        Principal axes of the rows that a linear dense network rebuilds, as PCA's, in the units of X: rows are
        orthonormal, and ``transform`` gives coordinates along them. Only ``fit`` finds them, if nothing but the
        reconstruction is asked of the code.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Share of the variance of X along each of them, in falling order; only beside ``components_``.

    active_components_ : ndarray of shape (n_active,)
        Columns of ``transform`` that are not collapsed, in falling order of their variance over the training samples;
        only with a variational objective (by at most 4096 samples) or ``whiten=True``. A variational component has
        collapsed if the variance of its means is at most 0.01 (Burda et al., 2016): the decoder does without it. Any
        other has collapsed if its variance is rounding.

    See Also
    --------
    sklearn.decomposition.PCA : The best linear code; better with few rows, and much faster.

    Notes
    -----
    A stored model tells something of its training samples: it holds the mean, variance, smallest and largest value of
    each feature, the losses of each epoch and, unless the objective has a prior, the codes of up to 4096 samples, from
    which the decoder rebuilds them approximately.

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

    _whitening: Axes
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseAutoencoder._parameter_constraints,
        "whiten": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [reals(0, 1, closed="neither")],
    }

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        whiten: bool = False,
        hidden_layer_sizes: Any = "auto",
        activation: str = "silu",
        network: str | Network = "dense",
        objective: str | Objective = "reconstruction",
        loss: str | Loss = "squared_error",
        corruption: str | Corruption | None = "swap",
        scaling: str | Scaling | None = "auto",
        input_margin: float | None = 1.0,
        solver: str | Solver = "adam",
        learning_rate_init: float = 0.005,
        learning_rate: str | Callable[[float], float] = "onecycle",
        alpha: float = 0.1,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        tol: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | str = "auto",
        warm_start: bool = False,
        device: str | torch.device = "auto",
        precision: str = "float32",
        callbacks: list[Any] | None = None,
        checkpoint: Any = None,
        random_state: Any = None,
        verbose: bool | int = False,
    ):
        self.n_components = n_components
        self.whiten = whiten
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None) -> AutoencoderTransformer:
        """Train on rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.
        X_val : {array-like, sparse matrix} of shape (n_validation_samples, n_features) or None, default=None
            Samples to validate on: their loss is recorded after each epoch, and ``early_stopping`` watches it. They
            must have passed the same steps as X; a warning tells when they lie far from it. Behind a scaler write
            ``Pipeline(steps, transform_input=["X_val"])``, see the example below.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted transformer.

        Raises
        ------
        ValueError
            If X holds anything but finite numbers, if parts do not fit together, or if the loss diverges.

        Examples
        --------
        A pipeline that sends ``X_val`` through its first step too:

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
        self._fit(check_rows(self, X, reset=not self._continues()), X_val)
        return self

    @available_unless(_needs_validation)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> AutoencoderTransformer:
        """Train for one epoch on these rows, with the scaling of the first call.

        Not available with ``early_stopping``, which needs validation rows. ``whiten`` turns codes anew by the rows of
        each call that has more of them than components; other calls keep the turn of the one before.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows. The first call should see a fair sample, because it fixes the scaling, and with ``whiten`` more rows
            than components.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : AutoencoderTransformer
            The transformer, one epoch further.
        """
        self._partial_fit(check_rows(self, X, reset=not self.__sklearn_is_fitted__()))
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Give the code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components_)
            Codes; float32 for float32 rows, float64 for all others.
        """
        X = self._check(X)
        return self._inference.encode(X)[0]

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Give the row that each code stands for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            Rows in original units.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOATS, estimator=self, input_name="X")
        if codes.shape[1] != self.n_components_:
            raise ValueError(f"Codes have {self.n_components_} components, but X has {codes.shape[1]} columns.")
        return self._inference.decode(codes)[0]

    @available_unless(_objective_lacks("posterior"))
    def posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Give the distribution of each row's code, with ``objective="variational"``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            Means of the Gaussians, the codes that ``transform`` gives.
        std : ndarray of shape (n_samples, n_components_)
            Their standard deviations, the square roots of the diagonals of their covariances. The components of a
            Gaussian are independent, but with ``whiten=True``, which turns them, only nearly so. Collapsed components
            then have 0.

        Raises
        ------
        AttributeError
            If the objective is not variational.
        """
        X = self._check(X)
        both = self._inference.posterior(self._assembly.objective.posterior, X)[0]
        return both[:, : self.n_components_].copy(), both[:, self.n_components_ :].copy()

    @available_unless(_objective_lacks("log_likelihood"))
    def score_samples(self, X: Any) -> np.ndarray:
        """Estimate the log-likelihood of each row, with ``objective="variational"``.

        200 codes are drawn from the posterior of each row, and weighted by how much likelier the model finds
        them (importance sampling). The noise behind the draws is the same for all rows, drawn at fit and kept. The
        estimate is a lower bound on average, and much tighter than the loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats, summed over the features: of a density in the units of X, or of the probability of a row of
            zeros and ones under the binary cross-entropy.

        References
        ----------
        Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
        """
        X = self._check(X)
        noise = torch.tensor(self._draws, dtype=self._shape.torch_dtype, device=self.net_.device)
        estimate = partial(self._assembly.objective.log_likelihood, loss=self._plan.loss, noise=noise)
        scaled = self._inference.apply(estimate, X, 1, np.float64)[0, :, 0]
        return scaled if self._plan.loss.discrete else scaled - np.log(self._affine.scale).sum()

    def sample(self, n_samples: int = 1, random_state: Any = None, *, noise: bool = False) -> np.ndarray:
        """Draw new rows.

        Codes come from the standard normal if the objective is variational. Otherwise they come from a mixture of at
        most 10 Gaussians, which is fitted in this call on the codes of at most 4096 training rows (of the last call's
        rows with ``partial_fit``).

        Parameters
        ----------
        n_samples : int, default=1
            How many rows.
        random_state : int, RandomState instance or None, default=None
            Source of the draws.
        noise : bool, default=False
            Whether to draw each cell around what the decoder makes of the code, which varies less than the training
            samples. Cells are independent, and normal, or Laplace for the absolute error; their variance in a column is
            what decoded codes lack of its variance in the training set (the first call's rows with ``partial_fit``).
            Under the binary cross-entropy they are the smallest or the largest value of the column, with the decoder's
            probability.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_)
            What the decoder makes of the codes, in original units, with noise if asked for.

        References
        ----------
        P. Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from sk_autoencoder import AutoencoderTransformer
        >>> X = load_wine().data
        >>> model = AutoencoderTransformer(2, objective="variational", max_iter=100, random_state=0).fit(X)
        >>> drawn = model.sample(1000, random_state=0, noise=True)
        >>> print((drawn.std(axis=0) / X.std(axis=0)).mean().round(1))
        1.0
        """
        check_is_fitted(self)
        n_samples = check_scalar(n_samples, "n_samples", numbers.Integral, min_val=1)
        source = check_random_state(random_state)
        rows = self._decoded_draws(n_samples, source)
        return self._with_noise(rows, source) if noise else rows

    def _decoded_draws(self, n_samples: int, source: np.random.RandomState) -> np.ndarray:
        """Decode random codes, as they are before whitening."""
        if self._assembly.objective.has_prior:
            codes = source.normal(size=(n_samples, self.n_components_))
        else:
            codes = draw_like(self._codes.astype(np.float64), n_samples, source)
        return self._inference.decode(codes, self._n_turns)[0]

    def _with_noise(self, rows: np.ndarray, source: np.random.RandomState) -> np.ndarray:
        """Draw cells around decoded rows, so that columns get their variances in the training set."""
        center, scale = self._affine
        decoded = self._decoded_draws(N_CODES, np.random.RandomState(self._plan.seed))
        std = np.sqrt(np.maximum(0.0, self._statistics.variance - decoded.var(axis=0)))
        return self._plan.loss.draw((rows - center) / scale, std / scale, source) * scale + center

    def interpolate(self, a: Any, b: Any, n_steps: int = 10) -> np.ndarray:
        """Walk from one row to another along the straight line between their codes.

        Parameters
        ----------
        a, b : array-like of shape (n_features,) or (1, n_features)
            The rows at both ends.
        n_steps : int, default=10
            How many rows to return, at least 2.

        Returns
        -------
        X : ndarray of shape (n_steps, n_features_in_)
            Decoded codes in equal steps, in original units: from the reconstruction of ``a`` to that of ``b``.
        """
        n_steps = check_scalar(n_steps, "n_steps", numbers.Integral, min_val=2)
        rows = [self._check(one_row(row)) for row in (a, b)]
        first, last = (self._inference.encode(row)[0, 0] for row in rows)
        return self._inference.decode(np.linspace(first, last, n_steps))[0]

    def score(self, X: Any, y: Any = None) -> float:
        """Mean over the features of the share of their variance that the reconstruction explains.

        The score of a feature is 1 minus its mean squared error, divided by its variance in the training set: 1 is
        perfect, and the means of the training set have about 0. Each feature counts alike, whatever its unit, and no
        parameter of the estimator changes the yardstick, so that a search can compare losses and scalings. Features
        that were constant in the training set are left out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            The mean, at most 1. No feature counts less than -1, so that one with rare values cannot decide. 0 if all
            features were constant.
        """
        X = self._check(X)
        sums = np.zeros(X.shape[1])
        for _, squares in self._inference.squared_errors(X):
            sums += squares.sum(axis=0)
        varies = self._statistics.varies
        scores = 1 - sums[varies] / self._statistics.variance[varies] / X.shape[0]
        return float(np.maximum(scores, -1).mean()) if varies.any() else 0.0

    @own_modes()
    def to_torch(self) -> tuple[nn.Module, nn.Module]:
        """Give the encoder and the decoder as plain torch modules in original units.

        Returns
        -------
        encoder : torch.nn.Module
            Maps (n, n_features_in_) raw rows of any float type to codes.
        decoder : torch.nn.Module
            Maps (n, n_components_) codes to float64 rows in original units.

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
        bounds = [] if self._bounds is None else [InputBounds(self._bounds, self._shape.torch_dtype)]
        modules = (
            nn.Sequential(scale, *bounds, *encoder, *last),
            nn.Sequential(*first, *decoder, Unscale(*self._affine)),
        )
        return modules[0].to(self.net_.device).eval(), modules[1].to(self.net_.device).eval()

    @property
    def _validates(self) -> bool:
        return bool(self.early_stopping)

    def _check_holding_out(self, n_rows: int) -> None:
        if self.early_stopping and n_rows < 2:
            raise ValueError(
                "early_stopping=True holds out validation rows and needs at least 2 samples, got 1 sample; "
                "use early_stopping=False or pass X_val."
            )

    def _split(self, n_rows: int, hold_out: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        if not hold_out:
            return None, None
        n_held_out = min(n_rows - 1, max(1, round(self._plain("validation_fraction") * n_rows)))
        return tuple(train_test_split(np.arange(n_rows), test_size=n_held_out, random_state=self._plan.seed))

    def _before_training(self, endless: bool) -> None:
        for name in ("_axes", "components_", "explained_variance_ratio_", "active_components_", "_whitening"):
            # A stream keeps its axes until a call has enough samples for others.
            if hasattr(self, name) and not (endless and name == "_whitening"):
                delattr(self, name)

    def _after_training(self, X: np.ndarray, endless: bool) -> None:
        straight = self.net_.module_.linear and self.n_components_ <= self.n_features_in_
        if straight and self._assembly.objective.turnable and not endless:
            self._turn(X)
        if self.whiten:
            self._whiten(X)
        self._keep_for_later(X)

    def _finish(self) -> None:
        super()._finish()
        self._inference.turn_code(self._turns())

    def _turns(self) -> list[Axes]:
        """Return the axes that codes are turned onto, one after the other."""
        return [getattr(self, name) for name in ("_axes", "_whitening") if hasattr(self, name)]

    @property
    def _n_turns(self) -> int:
        """How many turns come before the whitening."""
        return int(hasattr(self, "_axes"))

    def _turn(self, X: np.ndarray) -> None:
        """Turn the code of a linear network onto the principal axes of what it rebuilds."""
        codes = self._inference.encode(X)[0].astype(np.float64, copy=False)
        corners = np.vstack([np.zeros(self.n_components_), np.eye(self.n_components_)])
        origin, *ends = self._inference.decode(corners)[0]
        axes, self.components_, variances = principal_axes(codes, np.array(ends) - origin)
        self.explained_variance_ratio_ = variances / (self._statistics.variance.sum() or 1.0)
        self._axes = axes
        self._inference.turn_code(self._turns())

    def _whiten(self, X: np.ndarray) -> None:
        """Turn codes onto axes on which those of these samples have the identity as covariance; too few keep others."""
        if not hasattr(self, "_whitening") or X.shape[0] > self.n_components_:
            codes = self._inference.encode(X, self._n_turns, dtype=np.float64)[0]
            self._whitening = whitening_axes(codes, least=ACTIVE if self._assembly.objective.has_prior else 0.0)
        self.active_components_ = np.flatnonzero(self._whitening.turn.any(axis=0))
        self._inference.turn_code(self._turns())

    def _keep_for_later(self, X: np.ndarray) -> None:
        """Draw what methods need that must not be random: noise for likelihoods, or rows whose codes are kept."""
        order, draws = (np.random.default_rng([self._plan.seed, stream]) for stream in (_CODES, _DRAWS))
        chosen = np.sort(order.permutation(X.shape[0])[:N_CODES])
        codes = self._inference.encode(X[chosen], self._n_turns)[0]
        if not self._assembly.objective.has_prior:
            self._codes = codes
            return
        self._draws = draws.normal(size=(_N_DRAWS, self.n_components_))
        if not self.whiten:
            self.active_components_ = active_components(codes)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
