"""Rows of ``benchmarks.reconstruction``: what codes are good for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.ndimage import rotate
from scipy.spatial.distance import cdist, pdist
from scipy.special import rel_entr
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.studies import MNIST_SHAPE, PIXELS, Result, Row, Study, pca, squared
from sk_autoencoder import AutoencoderTransformer, LatentDisplay, LatentGridDisplay, TraversalDisplay
from sk_autoencoder.corruptions import Masking
from sk_autoencoder.networks import Convolutional, Dense
from sk_autoencoder.objectives import Reconstruction, Variational

MAP_SIZE = 2
# Of the row "adversarial map".
CODES_OF_MAPS = (MAP_SIZE, 8)
MAPS: dict[str, Any] = {"hidden_layer_sizes": (256, 128), "loss": "binary_cross_entropy", "learning_rate_init": 0.003}


def probe(codes: np.ndarray, y: np.ndarray, test_codes: np.ndarray, y_test: np.ndarray) -> float:
    """Accuracy of logistic regression on codes."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=150))
    return float(classifier.fit(codes, y).score(test_codes, y_test))


def no_copying(study: Study) -> Result:
    """784-1024-1024 and back: a wide code copies whatever it sees, unless noise or sparsity forbid it."""
    digits = study.mnist
    recipe = {**PIXELS, "hidden_layer_sizes": (1024,), "max_iter": study.pick(10, 2)}
    recipe |= {"activation": "relu", "network": Dense(out_activation="identity"), "learning_rate_init": 0.001}
    choices: dict[str, dict[str, Any]] = {
        "plain": {},
        "noisy": {"corruption": Masking(0.5)},
        "sparse": {"objective": Reconstruction(sparsity="l1", sparsity_weight=0.3), "alpha": 0.1},
    }
    noise = np.random.default_rng(0).permuted(digits.X_test[:1000], axis=0)  # each pixel as bright as ever, no shapes
    missed, right = {}, {}
    for name, choice in choices.items():
        model = AutoencoderTransformer(1024, **{**recipe, **choice}).fit(digits.X)
        missed[name] = squared(model, noise) / float(((noise - noise.mean(axis=0)) ** 2).sum(axis=1).mean())
        right[name] = probe(model.transform(digits.X), digits.y, model.transform(digits.X_test), digits.y_test)
        study.rebuilt(f"no-copying-{name}", model, noise)
    measured = ", ".join(f"{name} {missed[name]:.2f} ({right[name]:.1%})" for name in choices)
    copies = {name: share < 0.5 for name, share in missed.items()}
    better = right["noisy"] > right["plain"]
    return Result(measured, copies == {"plain": True, "noisy": False, "sparse": False} and better)


def features(study: Study) -> Result:
    """Logistic regression on frozen codes of a wide net that fills in masked pixels, all labels."""
    digits = study.mnist
    recipe = PIXELS | {"activation": "relu", "network": Dense(out_activation="identity"), "learning_rate_init": 0.001}
    recipe |= {"corruption": Masking(0.5)}
    model = AutoencoderTransformer(1024, hidden_layer_sizes=(1024,), max_iter=10, **recipe).fit(digits.X)
    right = probe(model.transform(digits.X), digits.y, model.transform(digits.X_test), digits.y_test)
    raw = probe(digits.X, digits.y, digits.X_test, digits.y_test)
    return Result(f"{right:.2%}, raw {raw:.2%}", right >= study.pick(raw + 0.02, 0.963))


def data_hunger(study: Study) -> Result:
    """Test error against the number of training images, beside PCA with as large a code; 3000 steps each."""
    digits = study.mnist
    counts = study.pick((100, 10000), (100, 1000, 10000, 60000))
    errors = []
    for n in counts:
        X = digits.X[:n]
        learnt = AutoencoderTransformer(30, hidden_layer_sizes=(512, 256), learning_rate_init=0.003, **PIXELS).fit(X)
        errors.append((squared(learnt, digits.X_test), squared(pca(30, X), digits.X_test)))
    measured = ", ".join(f"{n}: {own:.1f} vs {linear:.1f}" for n, (own, linear) in zip(counts, errors, strict=True))
    falls = all(after[0] < before[0] for before, after in pairwise(errors))
    return Result(measured, falls and errors[-1][0] < errors[-1][1])


def manifold(study: Study) -> Result:
    """One digit turned by 0 to 90 degrees: a single coordinate is the angle. Then many digits, beside PCA."""
    digits, rng = study.mnist, np.random.default_rng(0)
    angles = rng.uniform(0, 90, size=1000)
    one = _turned(digits.X[:1].repeat(1000, axis=0), angles)
    axis = AutoencoderTransformer(
        1, hidden_layer_sizes=(256, 64), learning_rate_init=0.003, max_iter=100, **PIXELS
    ).fit(one)
    codes = axis.transform(one)
    rank = abs(spearmanr(codes[:, 0], angles).statistic)

    steps = np.linspace(*np.quantile(codes, (0.02, 0.98)), 9)[:, None]
    walked = axis.inverse_transform(steps)
    nearest = NearestNeighbors(n_neighbors=1).fit(one).kneighbors(walked, return_distance=False)[:, 0]
    turns = abs(spearmanr(angles[nearest], steps[:, 0]).statistic)
    study.picture("manifold", TraversalDisplay.from_estimator(axis, one, n_samples=1, image_shape=MNIST_SHAPE[1:]))

    n = study.pick(5000, 20000)
    many = _turned(digits.X[:n], rng.uniform(0, 90, size=len(digits.X[:n])))
    model = AutoencoderTransformer(
        5, hidden_layer_sizes=(256, 64), learning_rate_init=0.003, max_iter=40, **PIXELS
    ).fit(many)
    own, linear = (
        _neighbours_agree(codes, digits.y[:n]) for codes in (model.transform(many), pca(5, many).transform(many))
    )
    measured = f"rank correlation {rank:.3f}, traversal {turns:.3f}; neighbours agree {own:.1%}, PCA {linear:.1%}"
    return Result(measured, min(rank, turns) >= 0.95 and own > linear)


def _turned(X: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Turn each image by its angle in degrees."""
    pairs = zip(X.reshape(-1, 28, 28), angles, strict=True)
    turned = [rotate(image, angle, reshape=False, order=1) for image, angle in pairs]
    return np.stack(turned).reshape(X.shape).astype(np.float32)


def _neighbours_agree(codes: np.ndarray, y: np.ndarray) -> float:
    """Share of the 10 nearest codes that have a row's class."""
    nearest = NearestNeighbors(n_neighbors=11).fit(codes).kneighbors(codes, return_distance=False)[:, 1:]
    return float((y[nearest] == y[:, None]).mean())


def variational(study: Study) -> Result:
    """Code 20, binarised digits; minus the importance-sampled log-likelihood of 200 draws, in nats."""
    X, X_test = (binarised(rows) for rows in (study.mnist.X, study.mnist.X_test))
    recipe = {
        **PIXELS,
        "objective": Variational(warmup=0.1),
        "loss": "binary_cross_entropy",
        "activation": "relu",
        "learning_rate_init": 0.002,
    }
    convolutional = {"network": Convolutional(sample_shape=MNIST_SHAPE), "hidden_layer_sizes": (16, 32, 64)}
    nats = {}
    for name, size, choice in (
        ("dense", 20, {"hidden_layer_sizes": (500, 500), "max_iter": 20}),
        ("convolutional", 20, {**convolutional, "max_iter": study.pick(5, 10)}),
        ("code 2", 2, {"hidden_layer_sizes": (500, 500), "max_iter": study.pick(20, 10)}),
    ):
        model = AutoencoderTransformer(size, **{**recipe, **choice}).fit(X)
        nats[name] = -float(model.score_samples(X_test[: study.pick(500, 10000)]).mean())
        drawn = model.sample(8, random_state=0).astype(np.float32)
        study.rebuilt(f"variational-{name.replace(' ', '-')}-drawn", model, drawn, names=("drawn", "rebuilt"))
    measured = ", ".join(f"{name} {value:.1f}" for name, value in nats.items())
    return Result(measured, min(nats["dense"], nats["convolutional"]) <= study.pick(115, 95))


def binarised(X: np.ndarray) -> np.ndarray:
    """Draw each pixel once, with its brightness as the chance of white."""
    return (np.random.default_rng(0).uniform(size=X.shape) < X).astype(np.float32)


def latent_map(study: Study) -> Result:
    """Code 2, the same nets plain and variational: what a classifier makes of decoded draws from N(0, I)."""
    digits = study.mnist
    classifier = MLPClassifier((128,), early_stopping=True, random_state=0).fit(digits.X, digits.y)
    recipe = {
        **PIXELS,
        "hidden_layer_sizes": (256, 128),
        "loss": "binary_cross_entropy",
        "learning_rate_init": 0.003,
        "max_iter": study.pick(25, 8),
    }
    draws = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    scores, found = {}, []
    for name, objective in (("plain", "reconstruction"), ("variational", "variational")):
        seen = []
        for seed in range(study.pick(2, 3)):  # where a plain map comes to lie is chance
            model = AutoencoderTransformer(2, objective=objective, **{**recipe, "random_state": seed}).fit(digits.X)
            codes = model.transform(digits.X_test)
            moved = draws * codes.std(axis=0) + codes.mean(axis=0)
            chances, own = (classifier.predict_proba(model.inverse_transform(drawn)) for drawn in (draws, moved))
            certain = (chances.max(axis=1) > 0.9).mean()
            seen.append((kinds_recognised(chances), certain, kinds_recognised(own), np.sqrt((codes**2).mean())))
        scores[name], certain, own, spread = np.mean(seen, axis=0)
        found.append(
            f"{name} {scores[name]:.2f} ({certain:.0%} for certain, codes spread {spread:.1f}, own draws {own:.2f})"
        )
        shown = slice(0, 5000)
        grid = LatentGridDisplay.from_estimator(model, digits.X[shown], image_shape=MNIST_SHAPE[1:])
        study.picture(f"latent-grid-{name}", grid)
        study.picture(f"latent-map-{name}", LatentDisplay.from_estimator(model, digits.X[shown], digits.y[shown]))
    # Continuous and centred means that draws from N(0, I) give every kind of digit, each clearly. The share that is
    # recognised for certain does not decide: a plain map is ten times wider than N(0, I), so all draws fall into a few
    # digits' part of it, and are recognised, as those. Draws as wide as a map's own codes ("own draws") tell how
    # much of the difference is being centred.
    passed = bool(scores["variational"] >= 1.25 * scores["plain"])
    return Result(f"kinds recognised: {', '.join(found)}", passed)


def adversarial(study: Study) -> Result:
    """Codes of 2 and 8, the same nets plain, variational and adversarial: how near codes are to draws from N(0, I)."""
    digits = study.mnist
    X_test = digits.X_test[:: study.pick(1, 5)]
    classifier = MLPClassifier((128,), early_stopping=True, random_state=0).fit(digits.X, digits.y)
    recipe = {**PIXELS, **MAPS, "max_iter": study.pick(40, 10)}
    rng, found, passed = np.random.default_rng(0), [], True
    for size in CODES_OF_MAPS:
        draws = rng.normal(size=(2000, size)).astype(np.float32)
        distance, kinds = {}, {}
        for name, objective in (
            ("plain", "reconstruction"),
            ("variational", "variational"),
            ("adversarial", "adversarial"),
        ):
            seen = []
            for seed in range(study.pick(1, 3)):
                model = AutoencoderTransformer(size, objective=objective, **{**recipe, "random_state": seed})
                codes, center, scale = codes_like_draws(model.fit(digits.X), digits.X, X_test, rng)
                chances = classifier.predict_proba(model.inverse_transform(draws * scale + center))
                seen.append((energy_distance(codes, draws), kinds_recognised(chances)))
            distance[name], kinds[name] = np.mean(seen, axis=0)
            if size == MAP_SIZE:
                shown = slice(0, 5000)
                display = LatentDisplay.from_estimator(model, digits.X[shown], digits.y[shown])
                study.picture(f"adversarial-map-{name}", display)
        near = distance["adversarial"] <= min(1.5 * distance["variational"], distance["plain"])
        passed &= bool(near and kinds["adversarial"] >= 0.9 * kinds["variational"])
        listed = ", ".join(f"{name} {distance[name]:.3f} ({kinds[name]:.1f})" for name in distance)
        found.append(f"code {size}: {listed}")
    return Result(f"energy distance to N(0, I) (kinds recognised): {'; '.join(found)}", passed)


def codes_like_draws(
    model: AutoencoderTransformer, X: np.ndarray, X_test: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Any, Any]:
    """Return codes to compare with draws of N(0, I), and the center and the scale of draws that are decoded.

    Variational codes are drawn from the posterior, plain ones are standardized by the training codes.
    """
    if model.objective == "variational":
        mean, std = model.posterior(X_test)
        return mean + std * rng.normal(size=mean.shape), 0, 1
    codes = model.transform(X_test)
    if model.objective != "reconstruction":
        return codes, 0, 1
    training = model.transform(X)
    center, scale = training.mean(axis=0), training.std(axis=0)
    return (codes - center) / scale, center, scale


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Energy distance of two samples (Szekely and Rizzo, 2013): 0 if and only if the distributions are equal."""
    between, inside = cdist(a, b).mean(), [pdist(x).sum() * 2 / len(x) ** 2 for x in (a, b)]
    return float(2 * between - sum(inside))


def kinds_recognised(chances: np.ndarray) -> float:
    """Inception score (Salimans et al., 2016): 10 if all ten digits are seen, each clearly, 1 if one is, or none."""
    surprise = rel_entr(chances, chances.mean(axis=0)).sum(axis=1)
    return float(np.exp(surprise.mean()))


ROWS = [
    Row("no copying", "only the plain one copies", "only plain < .5, noisy probes better", no_copying),
    Row("features", "raw 92.60, swap noise 96.30 %", ">= 96.3 %", features, quick="2 points above raw"),
    Row("data hunger", "needs many rows", "falls, ends below PCA", data_hunger),
    Row("manifold", "one axis = one factor", "ranks >= .95, closer than PCA", manifold),
    Row("variational", "89.8 nats", "<= 95", variational, quick="<= 115"),
    Row("latent map", "variational: continuous, centred", "kinds recognised x >= 1.25", latent_map),
    Row("adversarial map", "codes like N(0, I)", "<= 1.5 x variational, < plain; kinds >= .9 x", adversarial),
]
