"""Rows of ``benchmarks.reconstruction``: the families of autoencoders, and how well they rebuild images."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from benchmarks.studies import MNIST_SHAPE, PIXELS, Images, Result, Row, Study, cross_entropy, pca, squared
from sk_autoencoder import AutoencoderTransformer, LatentDisplay, LossCurveDisplay
from sk_autoencoder.corruptions import Gaussian, Masking
from sk_autoencoder.networks import Convolutional, Dense
from sk_autoencoder.solvers import SGD


def basic(study: Study) -> Result:
    """784-32-784 with a sigmoid output and the binary cross-entropy, 10 epochs of Adam."""
    digits = study.mnist
    model = AutoencoderTransformer(
        32, hidden_layer_sizes=(), loss="binary_cross_entropy", learning_rate_init=0.01, max_iter=10, **PIXELS
    ).fit(digits.X)
    study.rebuilt("basic", model, digits.X_test)
    error = cross_entropy(model, digits.X_test)
    return Result(f"{model.loss_curve_[0]:.4f} -> {error:.4f}", error <= 0.106)


def deep(study: Study) -> Result:
    """784-128-64-12-3 and back, tanh output on rows in [-1, 1], weight decay 1e-5."""
    digits = study.mnist
    X, X_test = 2 * digits.X - 1, 2 * digits.X_test - 1
    recipe = PIXELS | {"network": Dense(out_activation="tanh"), "alpha": 1e-5, "learning_rate_init": 0.003}
    model = AutoencoderTransformer(3, hidden_layer_sizes=(128, 64, 12), max_iter=study.pick(20, 40), **recipe).fit(X)
    study.rebuilt("deep", model, X_test, vmin=-1, vmax=1)
    below = 1 - squared(model, X_test) / squared(pca(3, X), X_test)
    return Result(f"{below:.1%} below PCA(3)", below >= study.pick(0.20, 0.25))


def linear(study: Study) -> Result:
    """Identity and squared error: the subspace of PCA. A cosine to zero gets there, a constant rate does not."""
    del study
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 3)) + 0.1 * rng.normal(size=(200, 3))
    digits = load_digits(return_X_y=True)[0]
    found, passed = [], True
    for name, X, size, steps in (
        ("3-D to 2-D", plane, 2, {"learning_rate_init": 0.05, "batch_size": 20, "max_iter": 1000}),
        ("digits to 10", digits, 10, {"learning_rate_init": 0.03, "batch_size": 512, "max_iter": 600}),
    ):
        recipe = {"activation": "identity", "learning_rate": "cosine", "alpha": 0.0, "precision": "float64", **steps}
        X = X - X.mean(axis=0)
        plain = {"hidden_layer_sizes": (), "scaling": None, "corruption": None, "random_state": 0}
        model = AutoencoderTransformer(size, **plain, **recipe).fit(X)
        exact = pca(size, X)
        angle = np.degrees(subspace_angles(model.components_.T, exact.components_.T)[0])
        excess = squared(model, X) / squared(exact, X) - 1
        found.append(f"{name}: error +{excess:.1e}, angle {angle:.2f}")
        passed &= excess <= 1e-3 and angle < 1
    return Result("; ".join(found), passed)


def stacked(study: Study) -> Result:
    """784-100-30 and back, SELU beside ReLU, 20 epochs of SGD on Fashion-MNIST."""
    clothes = study.fashion
    models = {name: _stacked(study, clothes.X, activation=name) for name in ("selu", "relu")}
    selu, relu = (cross_entropy(model, clothes.X_test) for model in models.values())
    study.rebuilt("stacked", models["selu"], clothes.X_test)
    study.picture("stacked-loss", LossCurveDisplay.from_estimator(models["selu"]))
    shown = slice(0, 2000)
    embedded = LatentDisplay.from_estimator(
        models["selu"], clothes.X_test[shown], clothes.y_test[shown], reducer=TSNE(random_state=0)
    )
    study.picture("stacked-codes", embedded)
    return Result(f"selu {selu:.4f}, relu {relu:.4f}", selu < relu)


def _stacked(study: Study, X: np.ndarray, **choices: Any) -> AutoencoderTransformer:
    """784-100-30 and back. Rates are large because the loss is a mean over pixels."""
    return AutoencoderTransformer(
        30,
        hidden_layer_sizes=(100,),
        loss="binary_cross_entropy",
        learning_rate="constant",
        batch_size=32,
        **{
            "learning_rate_init": study.pick(1.5, 0.3),
            "solver": SGD(momentum=0.0),
            "max_iter": 20,
            **PIXELS,
            **choices,
        },
    ).fit(X)


def tied(study: Study) -> Result:
    """The same net with the encoder's weights transposed in the decoder."""
    clothes = study.fashion
    networks = {"free": Dense(), "tied": Dense(tied_weights=True)}
    models = {
        name: _stacked(study, clothes.X, activation="selu", network=network) for name, network in networks.items()
    }
    weights = {name: _n_weights(model) for name, model in models.items()}
    errors = {name: cross_entropy(model, clothes.X_test) for name, model in models.items()}
    gaps, long = {}, {"max_iter": 400, "learning_rate_init": 0.5, "solver": SGD()}  # until few rows are learnt by heart
    for name, network in networks.items():
        few = _stacked(study, clothes.X[:500], activation="selu", network=network, **long)
        gaps[name] = cross_entropy(few, clothes.X_test) - cross_entropy(few, clothes.X[:500])
    share, excess = weights["tied"] / weights["free"], errors["tied"] / errors["free"] - 1
    measured = f"weights x {share:.2f}, error {excess:+.1%}, gap at 500 rows {gaps['tied']:.4f} vs {gaps['free']:.4f}"
    return Result(measured, share == 0.5 and excess <= 0.05 and gaps["tied"] < gaps["free"])


def _n_weights(model: AutoencoderTransformer) -> int:
    """Number of trained weights, without biases."""
    named = model.net_.module_.named_parameters()
    return sum(weight.numel() for name, weight in named if "bias" not in name)


def layerwise(study: Study) -> Result:
    """Half of the epochs for the layers one by one, against all of them for the whole; sigmoid nets."""
    digits, recipe = study.mnist, {**PIXELS, "activation": "sigmoid"}
    ratios = []
    for sizes, steps in (
        ((500, 250), {"learning_rate_init": 0.005, "max_iter": study.pick(20, 8)}),
        ((256, 128, 96, 64, 48), {"learning_rate_init": 0.02, "batch_size": 32, "max_iter": 10}),
    ):
        errors = [
            squared(
                AutoencoderTransformer(
                    30,
                    hidden_layer_sizes=sizes,
                    **{**recipe, **steps, "network": Dense(out_activation="sigmoid", layerwise_pretraining=greedy)},
                ).fit(digits.X),
                digits.X_test,
            )
            for greedy in (False, True)
        ]
        ratios.append(errors[1] / errors[0])
    measured = f"784-500-250-30: error x {ratios[0]:.2f}; 6 layers: x {ratios[1]:.2f}"
    return Result(measured, ratios[0] <= 1.0 and ratios[1] <= 0.9)


def denoising(study: Study) -> Result:
    """Three kinds of noise on Fashion-MNIST; errors are between what is made of noisy images and the clean ones."""
    clothes = study.fashion
    recipe = {**PIXELS, "hidden_layer_sizes": (512,), "max_iter": study.pick(15, 5), "learning_rate_init": 0.003}
    plain = AutoencoderTransformer(512, **recipe).fit(clothes.X)
    found, passed = [], True
    for corruption in (Gaussian(0.5), Masking(0.5), Masking(0.5, rescale=True)):
        model = AutoencoderTransformer(512, **(recipe | {"corruption": corruption})).fit(clothes.X)
        noisy = corruption.corrupt(clothes.X_test, random_state=0)
        ratio = squared(model, noisy, clothes.X_test) / squared(plain, noisy, clothes.X_test)
        name = "dropout" if getattr(corruption, "rescale", False) else type(corruption).__name__.lower()
        study.rebuilt(f"denoising-{name}", model, noisy, target=clothes.X_test[:8], vmin=0, vmax=1)
        found.append(f"{name} x {ratio:.2f}")
        passed &= ratio <= 0.5
    return Result("; ".join(found), passed)


def hinton(study: Study) -> Result:
    """784-1000-500-250-30 and back; no pretraining, but Adam and one cycle of the learning rate."""
    digits = study.mnist
    model = AutoencoderTransformer(
        30,
        hidden_layer_sizes=(1000, 500, 250),
        learning_rate_init=0.003,
        max_iter=study.pick(10, 40),
        **{**PIXELS, "alpha": 0.05},
    ).fit(digits.X)
    study.rebuilt("hinton", model, digits.X_test)
    error, linear_error = squared(model, digits.X_test), squared(pca(30, digits.X), digits.X_test)
    return Result(f"{error:.2f}; PCA(30) {linear_error:.2f}", error <= study.pick(0.7 * linear_error, 3.0))


def convolutional(study: Study) -> Result:
    """Three strided layers and a code of 32, beside a dense net with as many weights and epochs."""
    found, passed = [], True
    for name, images in (("mnist", study.mnist), ("fashion", study.fashion)):
        recipe = {**PIXELS, "max_iter": study.pick(6, 4), "learning_rate_init": 0.003}
        network = Convolutional(sample_shape=MNIST_SHAPE, out_activation="sigmoid")
        layers = {"network": network, "hidden_layer_sizes": (16, 32, 64)}
        conv = AutoencoderTransformer(32, **{**recipe, **layers}).fit(images.X)
        width = ceil(_n_weights(conv) / (2 * (784 + 32)))
        dense = AutoencoderTransformer(32, hidden_layer_sizes=(width,), **recipe).fit(images.X)
        errors = [squared(model, images.X_test) for model in (conv, dense)]
        study.rebuilt(f"convolutional-{name}", conv, images.X_test)
        found.append(f"{name}: {errors[0]:.2f}, dense ({width},) {errors[1]:.2f}")
        passed &= errors[0] < errors[1]
    return Result("; ".join(found), passed)


def data_specific(study: Study) -> Result:
    """Two sets, two nets: each on both. Then error against code size, beside PCA."""
    sets: dict[str, Images] = {"mnist": study.mnist, "fashion": study.fashion}
    recipe = {**PIXELS, "hidden_layer_sizes": (256, 128), "max_iter": study.pick(15, 5), "learning_rate_init": 0.003}
    models = {name: AutoencoderTransformer(32, **recipe).fit(images.X) for name, images in sets.items()}
    errors = {(a, b): squared(models[a], sets[b].X_test) for a in sets for b in sets}
    ratios = [errors[a, b] / errors[b, b] for a, b in (("fashion", "mnist"), ("mnist", "fashion"))]
    for a, b in (("fashion", "mnist"), ("mnist", "fashion")):
        study.rebuilt(f"data-specific-{a}-on-{b}", models[a], sets[b].X_test)
    curve = []
    for size in (2, 8, 32, 128):
        own = squared(AutoencoderTransformer(size, **recipe).fit(sets["mnist"].X), sets["mnist"].X_test)
        curve.append(f"{size}: {own:.1f} vs {squared(pca(size, sets['mnist'].X), sets['mnist'].X_test):.1f}")
    measured = (
        f"x {ratios[0]:.1f} on mnist, x {ratios[1]:.1f} on fashion; mnist error by code size vs PCA {', '.join(curve)}"
    )
    return Result(measured, min(ratios) >= 3)


ROWS = [
    Row("basic", ".2324 -> .1119 (course)", "<= .106", basic),
    Row("deep", "legible from 3 numbers", "25 % below PCA(3)", deep, quick="20 % below PCA(3)"),
    Row("linear = PCA", "equal", "error +1e-3, angle < 1 degree", linear),
    Row("stacked SELU", "pictures, t-SNE", "below ReLU", stacked),
    Row("tied weights", "half the weights", "half, error +5 %, smaller gap", tied),
    Row("layer-wise", "greedy, then tuning", "x <= 1.00; x <= .90", layerwise),
    Row("denoising", "cleaned images", "x <= .50", denoising),
    Row("data-specific", "compresses what it knows", "x >= 3", data_specific),
    Row("Hinton 2006", "3.00; PCA(30) 13.87", "<= 3.0", hinton, quick="30 % below PCA(30)"),
    Row("convolutional", "-", "below dense", convolutional),
]
