"""Methods that learn from labelled and unlabelled samples, for ``benchmarks.few_labels``.

A method is a list of estimators, its settings, and how they see the samples. The best setting is chosen by 3-fold
cross-validation on the labelled samples; unlabelled samples, if a method uses them, are in every training part. A
method of one setting needs no choice. An estimator that uses unlabelled samples gets them with the label -1, or NaN in
regression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, SVR

from benchmarks.few_labels_beds import Draw
from sk_autoencoder import AutoencoderClassifier, AutoencoderRegressor, AutoencoderTransformer
from sk_autoencoder.estimators import _auto
from sk_autoencoder.objectives import VirtualAdversarial, supervised

N_FOLDS = 3
N_ROUNDS = 50  # of boosting
MOST_UNLABELLED = 10_000  # of peers that use them
SIZES = (1, 10, 100)  # of C


@dataclass(frozen=True)
class Method:
    """Settings of an estimator, and the samples that it gets.

    Parameters
    ----------
    settings : function from a draw to a sequence of estimators
    view : {"samples", "pca", "codes", "source"}, default="samples"
        Samples, their principal components, their codes, or their codes by the encoder of another set.
    unlabelled : bool, default=False
        Whether the estimator is fitted on unlabelled samples too.
    most_unlabelled : int or None, default=None
        How many of them at most.
    constants : mapping, default={}
        Values of constants of ``sk_autoencoder.objectives.supervised`` during the fit.
    """

    settings: Callable[[Draw], Sequence[Any]]
    view: str = "samples"
    unlabelled: bool = False
    most_unlabelled: int | None = None
    constants: Mapping[str, float] = field(default_factory=dict)

    def fit(self, draw: Draw) -> Fitted:
        """Choose a setting and fit it."""
        encode, before = view_of(draw, self.view)
        start = process_time()
        rows = draw.labelled
        if self.unlabelled:
            others = np.setdiff1d(np.arange(len(draw.y)), rows)
            rows = np.r_[rows, others[: self.most_unlabelled]]
        X, y = encode(draw.split.X[rows]), draw.y[rows]
        settings = [seeded(estimator, draw.split.seed) for estimator in self.settings(draw)]
        chosen = best_of(settings, X, y, len(draw.labelled), draw)
        with patch.dict(vars(supervised), self.constants):
            estimator = settings[chosen].fit(X, y)
        if not draw.is_regression and not hasattr(estimator, "predict_proba"):
            scaled = CalibratedClassifierCV(clone(estimator), method="temperature", cv=folds_of(draw), ensemble=False)
            return Fitted(estimator, scaled.fit(X, y), encode, chosen, before + process_time() - start)
        return Fitted(estimator, estimator, encode, chosen, before + process_time() - start)


@dataclass(frozen=True)
class Fitted:
    """A fitted method, the position of its setting, and the seconds of choice and fit."""

    estimator: Any
    probabilities: Any
    encode: Callable[[np.ndarray], np.ndarray]
    setting: int
    seconds: float

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Classes, or numbers."""
        return self.estimator.predict(self.encode(X))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities of the classes; where no label reaches a sample, all are the same."""
        shares = self.probabilities.predict_proba(self.encode(X))
        return np.where(np.isnan(shares), 1 / shares.shape[1], shares)


def view_of(draw: Draw, view: str) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Return the map of samples to what an estimator sees, and the seconds that it took to learn it."""
    match view:
        case "pca":
            model, seconds = draw.split.pca
        case "codes":
            model, seconds = draw.split.encoder
        case "source":
            assert draw.split.source is not None
            model, seconds = draw.split.source.encoder
        case _:
            return np.asarray, 0.0
    return model.transform, seconds


def seeded(estimator: Any, seed: int) -> Any:
    """Give an estimator, and those within it, the seed of a draw."""
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed))


def folds_of(draw: Draw) -> KFold | StratifiedKFold:
    """Folds of the labelled samples."""
    return (KFold if draw.is_regression else StratifiedKFold)(N_FOLDS, shuffle=True, random_state=draw.split.seed)


def best_of(settings: Sequence[Any], X: np.ndarray, y: np.ndarray, n_labelled: int, draw: Draw) -> int:
    """Position of the setting with the best mean score on held-out labelled samples; those are the first of X."""
    if len(settings) == 1:
        return 0
    scores = np.zeros(len(settings))
    rest = np.arange(n_labelled, len(X))
    for train, test in folds_of(draw).split(X[:n_labelled], y[:n_labelled]):
        rows = np.r_[train, rest]
        for position, estimator in enumerate(settings):
            scores[position] += clone(estimator).fit(X[rows], y[rows]).score(X[test], y[test])
    return int(scores.argmax())


def svc(_: Draw) -> list[Any]:
    """Support vector machines."""
    return [SVC(C=size) for size in SIZES]


def boosting(draw: Draw) -> list[Any]:
    """Few labels need small leaves; with all labels the learning rate decides."""
    if draw.bed == "all":
        return [HistGradientBoostingClassifier(max_iter=N_ROUNDS, learning_rate=rate) for rate in (0.1, 0.2, 0.4)]
    return [HistGradientBoostingClassifier(max_iter=N_ROUNDS, min_samples_leaf=size) for size in (2, 5, 20)]


def perceptrons(draw: Draw) -> list[Any]:
    """Few labels need a penalty; with all labels the size decides."""
    if draw.bed == "all":
        return [MLPClassifier(sizes) for sizes in ((100,), (300,), (200, 200))]
    return [MLPClassifier(alpha=alpha, max_iter=500) for alpha in (1e-4, 0.1, 1)]


def spreading(_: Draw) -> list[Any]:
    """Labels that spread over a graph of neighbours."""
    settings = ((7, 0.2), (10, 0.8), (20, 0.2))
    return [LabelSpreading(kernel="knn", n_neighbors=n, alpha=alpha, max_iter=100) for n, alpha in settings]


def self_training(_: Draw) -> list[Any]:
    """Logistic regressions on their own confident predictions."""
    return [
        SelfTrainingClassifier(LogisticRegression(C=C), threshold=threshold)
        for C, threshold in ((1, 0.75), (1, 0.9), (10, 0.9))
    ]


def standardised(regressors: Sequence[Any]) -> list[Any]:
    """Fit regressors to standardised targets."""
    return [TransformedTargetRegressor(regressor, transformer=StandardScaler()) for regressor in regressors]


CLASSIFIERS = {
    "logistic": Method(lambda _: [LogisticRegression(C=C, max_iter=500) for C in (0.1, 1, 10)]),
    "SVC": Method(svc),
    "neighbours": Method(lambda _: [KNeighborsClassifier(n, weights="distance") for n in (1, 3, 5)]),
    "boosting": Method(boosting),
    "MLP": Method(perceptrons),
    "self-training": Method(self_training, "samples", True, MOST_UNLABELLED),
    "spreading": Method(spreading, "samples", True, MOST_UNLABELLED),
    "spreading on codes": Method(spreading, "codes", True, MOST_UNLABELLED),
    "SVC on PCA": Method(svc, "pca"),
    "SVC on codes": Method(svc, "codes"),
}
REGRESSORS = {
    "Ridge": Method(lambda _: [Ridge(alpha) for alpha in (0.1, 1, 10)]),
    "boosting": Method(
        lambda _: [HistGradientBoostingRegressor(max_iter=N_ROUNDS, min_samples_leaf=n) for n in (2, 5, 20)]
    ),
    "MLP": Method(lambda _: standardised([MLPRegressor(solver="lbfgs", alpha=a, max_iter=500) for a in (0.1, 1, 10)])),
    "SVR": Method(lambda _: standardised([SVR(C=size) for size in (0.1, 1, 10)])),
}
TRANSFER = {
    "SVC": Method(svc),
    "SVC on codes": Method(svc, "codes"),
    "SVC on codes of mnist": Method(svc, "source"),
    "spreading on codes": Method(spreading, "codes", True, MOST_UNLABELLED),
    "spreading on codes of mnist": Method(spreading, "source", True, MOST_UNLABELLED),
}


def classifier(**parameters: Any) -> Method:
    """AutoencoderClassifier with one setting."""
    return Method(lambda _: [AutoencoderClassifier(**parameters)], unlabelled=True)


def regressor(**parameters: Any) -> Method:
    """AutoencoderRegressor with one setting."""
    return Method(lambda _: [AutoencoderRegressor(**parameters)], unlabelled=True)


def epochs(draw: Draw, n_steps: int) -> int:
    """Epochs for at least so many steps of mini-batches of 128 samples."""
    return _auto.max_iter(len(draw.y), _auto.LARGEST_BATCH, n_steps)


def transferred(training: str) -> Method:
    """AutoencoderClassifier with the encoder of another set."""
    return Method(
        lambda draw: [AutoencoderClassifier(FrozenEstimator(draw.split.source.encoder[0]), training=training)],
        unlabelled=True,
    )


# "scratch" has neither corruption nor reconstruction, "corrupted" corruption without reconstruction.
PLAIN = AutoencoderTransformer(64, corruption=None)
OURS = {
    "AutoencoderClassifier": classifier(),
    "its consistency only": classifier(reconstruction_weight=0.0),
    "its reconstruction only": classifier(consistency=None),
    "corrupted": classifier(consistency=None, reconstruction_weight=0.0),
    "scratch": classifier(autoencoder=PLAIN, consistency=None, reconstruction_weight=0.0),
    "finetune": classifier(training="finetune"),
    "frozen": classifier(training="frozen"),
}
ALL_LABELS = {
    "without consistency": classifier(consistency=None),
    "and without corruption": classifier(autoencoder=PLAIN, consistency=None),
}
# Steps until a network is as accurate as another one.
STEPS = (100, 300, 1000, 3000)


def trained_for(n_steps: int, **parameters: Any) -> Method:
    """AutoencoderClassifier with one setting, trained for so many steps, and so many of pretraining."""

    def settings(draw: Draw) -> list[Any]:
        n_epochs = epochs(draw, n_steps)
        corruption = parameters.get("corruption", "swap")
        autoencoder = AutoencoderTransformer(64, corruption=corruption, max_iter=n_epochs)
        rest = {name: value for name, value in parameters.items() if name != "corruption"}
        return [AutoencoderClassifier(autoencoder, max_iter=n_epochs, **rest)]

    return Method(settings, unlabelled=True)


TIME = {
    f"{name}, {n_steps} steps": trained_for(n_steps, **parameters)
    for name, parameters in {
        "from scratch": {"corruption": None, "consistency": None, "reconstruction_weight": 0.0},
        "finetune": {"training": "finetune"},
        "joint": {},
    }.items()
    for n_steps in STEPS
}
OUR_REGRESSORS = {
    "AutoencoderRegressor": regressor(),
    "corrupted": regressor(reconstruction_weight=0.0),
    "scratch": regressor(autoencoder=PLAIN, reconstruction_weight=0.0),
}
# Values around the defaults, from which development draws choose.
SETTINGS = {"AutoencoderClassifier": classifier()} | {
    f"epsilon {epsilon}, weight {weight}": classifier(consistency=VirtualAdversarial(epsilon, weight))
    for epsilon, weight in ((0.2, 0.3), (0.4, 0.3), (0.3, 0.1), (0.3, 1.0))
}
SETTINGS |= {
    f"entropy {entropy}": classifier(consistency=VirtualAdversarial(entropy=entropy)) for entropy in (0.0, 1.0)
}
SETTINGS |= {"1000 steps": Method(lambda draw: [AutoencoderClassifier(max_iter=epochs(draw, 1000))], unlabelled=True)}
SETTINGS |= {f"learning rate {rate}": classifier(learning_rate_init=rate) for rate in (0.001, 0.01)}
SETTINGS |= {
    f"last {tuned:.0%} clean": replace(SETTINGS["AutoencoderClassifier"], constants={"TUNED": tuned})
    for tuned in (0.0, 0.4)
}
SETTINGS |= {"finetune": OURS["finetune"]}
REGRESSION_SETTINGS = {"AutoencoderRegressor": regressor()}
REGRESSION_SETTINGS |= {f"alpha {alpha}": regressor(alpha=alpha) for alpha in (0.3, 3.0)}
REGRESSION_SETTINGS |= {
    f"last {tuned:.0%} clean": replace(regressor(), constants={"TUNED_IN_REGRESSION": tuned}) for tuned in (0.2, 0.7)
}
REGRESSION_SETTINGS |= {"one network": regressor(n_estimators=1)}
REGRESSION_SETTINGS |= {"learning rate 0.003": regressor(learning_rate_init=0.003)}
REGRESSION_SETTINGS |= {"virtual adversarial": regressor(consistency="virtual_adversarial")}
METHODS: dict[str, dict[str, Method]] = {
    "few": CLASSIFIERS | OURS,
    "mnist": CLASSIFIERS | OURS,
    "all": {name: CLASSIFIERS[name] for name in ("logistic", "SVC", "neighbours", "boosting", "MLP")}
    | OURS
    | ALL_LABELS,
    "regression": REGRESSORS | OUR_REGRESSORS,
    "transfer": TRANSFER | OURS | {f"{name} of mnist": transferred(name) for name in ("joint", "finetune", "frozen")},
    "time": TIME,
    "settings": SETTINGS,
    "regression_settings": REGRESSION_SETTINGS,
}
