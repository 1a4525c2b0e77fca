"""Every registry line as an estimator, so that a new line is tested with no edit of a test."""

import inspect

import numpy as np

import sk_autoencoder
from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import CORRUPTIONS, Masking
from sk_autoencoder.estimators._base import BaseAutoencoder
from sk_autoencoder.losses import LOSSES
from sk_autoencoder.networks import NETWORKS, Dense
from sk_autoencoder.networks.activations import ACTIVATIONS
from sk_autoencoder.objectives import OBJECTIVES, Reconstruction, Variational
from sk_autoencoder.scaling import SCALINGS, MinMax, Standard
from sk_autoencoder.scores import SCORES
from sk_autoencoder.solvers import SGD, SOLVERS
from sk_autoencoder.thresholds import THRESHOLDS
from sk_autoencoder.training import SCHEDULES

# A parameter of the estimators, and the registry behind it.
AXES = {
    "loss": LOSSES,
    "corruption": CORRUPTIONS,
    "scaling": SCALINGS,
    "network": NETWORKS,
    "objective": OBJECTIVES,
    "activation": ACTIVATIONS,
    "solver": SOLVERS,
    "learning_rate": SCHEDULES,
    "outlier_score": SCORES,
    "contamination": THRESHOLDS,
}
FLAGS = {"novelty": [True]}  # other defaults of an estimator

# Choices that change the way of a row or of the training, and are no registry line.
OPTIONS = {
    "tied_weights": {"network": Dense(tied_weights=True)},
    "dropout": {"network": Dense(dropout=0.2)},
    "sparse_l1": {"objective": Reconstruction(sparsity="l1")},
    "sparse_kl": {"objective": Reconstruction(sparsity="kl", sparsity_weight=0.5)},
    "variational_warmup": {"objective": Variational(beta=0.5, warmup=0.5)},
    "variational_bernoulli": {"objective": Variational(beta=0.01), "loss": "binary_cross_entropy"},
    "plain": {"corruption": None},
    "rescaled_masking": {"corruption": Masking(rescale=True)},
    "tanh_range": {"scaling": MinMax(feature_range=(-1.0, 1.0)), "network": Dense(out_activation="tanh")},
    "unscaled": {"scaling": None},
    "shared_scale": {"scaling": Standard(shared_scale=True)},
    "sgd_decay": {"solver": "sgd", "alpha": 0.01, "learning_rate_init": 0.01},
    # Weights do not change, so training stops after the second epoch.
    "early_stopping": {"early_stopping": True, "n_iter_no_change": 1, "learning_rate_init": 1e-30},
    "float64": {"precision": "float64"},
    "layerwise": {"network": Dense(layerwise_pretraining=True), "hidden_layer_sizes": (16, 8), "max_iter": 4},
    "linear": {"hidden_layer_sizes": ()},
    "whitened": {"whiten": True},
    "whitened_linear": {"whiten": True, "hidden_layer_sizes": (), "corruption": None},
    "whitened_variational": {"whiten": True, "objective": "variational"},
    "deep": {"hidden_layer_sizes": (33, 7, 100)},
    "small_batches": {"batch_size": 7},
    "trimmed": {"objective": Reconstruction(trim=0.2)},
    "sgd_without_nesterov": {"solver": SGD(nesterov=False)},
}

_REASON = "sample_weight is not equivalent to removing/repeating samples."
# A default fit is stochastic, so that weights and repeated samples are equivalent in the mean only.
EXPECTED_FAILED_CHECKS = {
    "check_sample_weight_equivalence_on_dense_data": _REASON,
    "check_sample_weight_equivalence_on_sparse_data": _REASON,
}

ESTIMATORS = [
    public
    for public in (getattr(sk_autoencoder, name) for name in sk_autoencoder.__all__)
    if inspect.isclass(public) and issubclass(public, BaseAutoencoder)
]
ESTIMATORS.sort(key=lambda estimator: estimator is not AutoencoderTransformer)  # the quickest takes the shared axes
# These meet several members only in some estimators; the other axes are the same for all and tested on the first.
_ON_EACH = ("network=", "objective=")

# Every public way of rows through a fitted estimator.
WAYS = (
    *("transform", "reconstruct", "reconstruction_error", "posterior"),
    *("score_samples", "decision_function", "predict", "p_values", "component_scores", "feature_scores"),
)


def with_objective(axis, name):
    """Return the choice of a registry line, with the first objective that gives what a score needs."""
    if axis != "outlier_score":
        return {axis: name}
    fitting = (kind for kind, part in OBJECTIVES.items() if set(SCORES[name]().required_terms) <= set(part().terms))
    return {axis: name, "objective": next(fitting)}


def variants():
    """Return {id: estimator with max_iter=2} for each registry line and option."""
    found = {}
    seen = set()
    for estimator in ESTIMATORS:
        axes = {
            axis: registry
            for axis, registry in (AXES | FLAGS).items()
            if axis in inspect.signature(estimator).parameters
        }
        lines = ((axis, name) for axis, registry in axes.items() for name in registry)
        choices = {f"{axis}={name}": with_objective(axis, name) for axis, name in lines} | OPTIONS
        for name, choice in choices.items():
            if name not in seen or name.startswith(_ON_EACH):
                parameters = {"max_iter": 2, "random_state": 0, **choice}
                found[f"{estimator.__name__}-{name}"] = estimator(**parameters)
        seen |= set(choices)
    return found


VARIANTS = variants()


def without_validation(estimator):
    """Return the parameters by which an estimator trains without a look at held-out samples."""
    return {name: False for name in ("early_stopping", "restore_best") if hasattr(estimator, name)}


def outputs(model, X):
    """Return {method: result for these rows} over every public way that the model has."""
    results = {}
    for way in WAYS:
        if hasattr(model, way):
            result = getattr(model, way)(X)
            if isinstance(result, tuple):
                result = dict(enumerate(result))
            results |= {f"{way}.{k}": v for k, v in result.items()} if isinstance(result, dict) else {way: result}
    if hasattr(model, "inverse_transform"):
        results["inverse_transform"] = model.inverse_transform(results["transform"])
    return results


def assert_equal(results, expected):
    """Bit for bit."""
    assert results.keys() == expected.keys()
    for way, result in results.items():
        np.testing.assert_array_equal(result, expected[way], err_msg=way)
