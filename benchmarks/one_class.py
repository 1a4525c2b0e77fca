"""One class of images is normal, in turn: the detector beside its peers.

    python -m benchmarks.one_class [--data DIR] [--sets digits,fashion_mnist,mnist,ecg5000] [--detectors novelty,knn]
                                   [--first 0] [--draws 1] [--development] [--out one_class.jsonl]

digits come with scikit-learn; DIR holds ``images/fashion_mnist.npz``, ``images/mnist.npz`` and ``series/ecg5000.npz``.
Each class in turn is normal: half of its digits train, or 1000 of its training images, and the others, with all other
classes, are scored (of the two large sets 2000 test images). Of the heart beats, class 1 is normal: its training beats
train, all test beats are scored, and draws are seeds. Figures are mean AUROCs over the classes, in percent. Peers have
several settings, of which the table shows the best. Below it are the differences of the recipe, "shared scale", to the
peers, with the 95 % interval of their mean over the classes, or over the seeds of the heart beats. ``--development``
draws other samples, for the choice of our own settings: training images are scored, and training beats. Results are
appended to ``--out``, and what stands there is not run again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from benchmarks.cells import half_width
from benchmarks.outliers import Detector, norm, ours
from sk_autoencoder.networks import Convolutional
from sk_autoencoder.scaling import Standard
from sk_autoencoder.scores import Combined, ReconstructionError, ResidualDistance

N_TRAINED, N_SCORED = 1000, 2000
_DEVELOPMENT = 1000  # first draw of the development
SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28), "mnist": (1, 28, 28), "ecg5000": (1, 140)}

Task = tuple[int, np.ndarray, np.ndarray, np.ndarray]  # normal class, training samples, samples to score, labels


def knn(train: np.ndarray, test: np.ndarray, seed: int, n_neighbors: int) -> np.ndarray:
    """Mean distance to neighbours among the pixels."""
    del seed
    return NearestNeighbors(n_neighbors=n_neighbors).fit(train).kneighbors(test)[0].mean(axis=1)


def pca(train: np.ndarray, test: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Squared error of the components that hold a share of the variance of the pixels."""
    del seed
    components = PCA(share, svd_solver="full").fit(train)
    return ((components.inverse_transform(components.transform(test)) - test) ** 2).sum(axis=1)


def one_scale(detector: Detector, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score pixels that are all divided by one standard deviation."""
    return detector(train / train.std(), test / train.std(), seed)


def ocsvm(train: np.ndarray, test: np.ndarray, seed: int, nu: float) -> np.ndarray:
    """Score by scikit-learn's OneClassSVM."""
    del seed
    return -OneClassSVM(nu=nu).fit(train).score_samples(test)


def iforest(train: np.ndarray, test: np.ndarray, seed: int, max_samples: int) -> np.ndarray:
    """Score by scikit-learn's IsolationForest."""
    forest = IsolationForest(max_samples=min(max_samples, len(train)), random_state=seed)
    return -forest.fit(train).score_samples(test)


def standardized(detector: Detector, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Score standardised pixels."""
    scaler = StandardScaler().fit(train)
    return detector(scaler.transform(train), scaler.transform(test), seed)


PEERS: dict[str, dict[str, Detector]] = {
    "norm": {"": norm},
    "iforest": {f"{n} samples": partial(iforest, max_samples=n) for n in (64, 256, 1024)},
    "ocsvm": {f"nu={nu}": partial(one_scale, partial(ocsvm, nu=nu)) for nu in (0.01, 0.1, 0.5)},
    "knn": {f"k={k}": partial(knn, n_neighbors=k) for k in (1, 5, 10)},
    "knn standardised": {f"k={k}": partial(standardized, partial(knn, n_neighbors=k)) for k in (1, 5, 10)},
    "pca": {f"{share:.0%}": partial(pca, share=share) for share in (0.5, 0.8, 0.95)},
}


RECIPE = {
    "novelty": True,
    "corruption": None,
    "scaling": Standard(shared_scale=True),
    "outlier_score": ReconstructionError(None),
}
# The first recipe: the larger surprise of the error and of the distance of the residual to those of training images.
PAIR = Combined([ReconstructionError(None), ResidualDistance(1, 4096)], n_largest=1, damped=False)


def own(name: str) -> dict[str, Detector]:
    """Return our detectors for images of a set."""
    convolutional = Convolutional(sample_shape=SHAPES[name])
    return {
        "default": ours(),
        "novelty": ours(novelty=True),
        "novelty convolutional": ours(novelty=True, network=convolutional),
        "shared scale": ours(**RECIPE),
        "shared scale convolutional": ours(**RECIPE, network=convolutional),
        "shared scale linear": ours(**RECIPE, hidden_layer_sizes=()),
        "shared scale with residual distance": ours(**RECIPE | {"outlier_score": PAIR}),
    }


def tasks(name: str, data: Path | None, draw: int) -> Iterator[Task]:
    """Yield the tasks of one draw; labels are 1 for other classes."""
    if name == "digits":
        yield from of_digits(np.random.default_rng([draw, len(name)]))
        return
    if data is None:
        raise SystemExit(f"{name} needs --data.")
    if name == "ecg5000":
        yield of_beats(data, draw)
        return
    yield from of_images(name, data, draw)


def of_digits(rng: np.random.Generator) -> Iterator[Task]:
    """Yield each digit in turn: one half trains, the other half and all other digits are scored."""
    X, y = load_digits(return_X_y=True)
    for digit in range(10):
        normal = rng.permutation(np.flatnonzero(y == digit))
        half = len(normal) // 2
        scored = np.r_[normal[half:], np.flatnonzero(y != digit)]
        yield digit, X[normal[:half]], X[scored], (y[scored] != digit).astype(int)


def of_images(name: str, data: Path, draw: int) -> Iterator[Task]:
    """Yield each class of images in turn."""
    rng = np.random.default_rng([draw, len(name)])
    file = np.load(data / "images" / f"{name}.npz")
    X, y = file["X_train"].reshape(-1, 784) / 255.0, file["y_train"]
    others, labels = (X, y) if draw >= _DEVELOPMENT else (file["X_test"].reshape(-1, 784) / 255.0, file["y_test"])
    for digit in range(10):
        normal = rng.permutation(np.flatnonzero(y == digit))[:N_TRAINED]
        left = np.setdiff1d(np.arange(len(others)), normal if draw >= _DEVELOPMENT else [])
        scored = rng.permutation(left)[:N_SCORED]
        yield digit, X[normal], others[scored], (labels[scored] != digit).astype(int)


def of_beats(data: Path, draw: int) -> Task:
    """Return heart beats, of which those of class 1 are normal; in the development, a quarter of them is scored."""
    file = np.load(data / "series" / "ecg5000.npz")
    X, y = file["X_train"].astype(np.float64), file["y_train"]
    normal = np.flatnonzero(y == 1)
    if draw < _DEVELOPMENT:
        return 1, X[normal], file["X_test"].astype(np.float64), (file["y_test"] != 1).astype(int)
    normal = np.random.default_rng([draw, 7]).permutation(normal)
    quarter = len(normal) // 4
    scored = np.r_[normal[:quarter], np.flatnonzero(y != 1)]
    return 1, X[normal[quarter:]], X[scored], (y[scored] != 1).astype(int)


def best_settings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean AUROCs and seconds of the best setting of each detector on each set."""
    means = rows.groupby(["set", "detector", "setting"], as_index=False)[["auroc", "seconds"]].mean()
    return means.sort_values("auroc").drop_duplicates(["set", "detector"], keep="last")


def table(rows: pd.DataFrame) -> str:
    """Return mean AUROCs by detector and set; of peers, those of the best setting."""
    best = best_settings(rows)
    best["cell"] = best["auroc"].map("{:.2f}".format) + best["seconds"].map(" ({:.1f} s)".format)
    return best.pivot_table("cell", "detector", "set", aggfunc="first").fillna("").to_markdown()


def differences(rows: pd.DataFrame, reference: str = "shared scale") -> str:
    """Return the mean differences of the reference to each peer's best setting, with their 95 % intervals.

    The units are the classes, or the draws of heart beats.
    """
    cells: list[dict[str, str]] = []
    for _, best in best_settings(rows[rows["detector"].isin(PEERS)]).iterrows():
        of_set = rows[rows["set"] == best["set"]]
        unit = "draw" if best["set"] == "ecg5000" else "class"
        chosen = (of_set["detector"] == best["detector"]) & (of_set["setting"] == best["setting"])
        ours_, theirs = (
            of_set[which].groupby(unit)["auroc"].mean() for which in (of_set["detector"] == reference, chosen)
        )
        difference = (ours_ - theirs).dropna().to_numpy()
        if len(difference):
            cell = f"{difference.mean():+.2f} ± {half_width(difference):.2f} ({best['setting']})"
            cells.append({"peer": best["detector"], "set": best["set"], "cell": cell})
    if not cells:
        return ""
    return pd.DataFrame(cells).pivot_table("cell", "peer", "set", aggfunc="first").fillna("").to_markdown()


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sets", default=",".join(SHAPES))
    parser.add_argument("--detectors", default=",".join([*own("digits"), *PEERS]))
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("one_class.jsonl"))
    args = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=UserWarning)
    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    known = {(row["set"], row["draw"], row["class"], row["detector"], row["setting"]) for row in done}
    wanted = args.detectors.split(",")
    first = args.first + _DEVELOPMENT * args.development
    with args.out.open("a") as file:
        for name in args.sets.split(","):
            choices = {detector: {"": score} for detector, score in own(name).items()} | PEERS
            for draw in range(first, first + args.draws):
                for digit, train, test, y in tasks(name, args.data, draw):
                    for detector in wanted:
                        for setting, score in choices[detector].items():
                            key = (name, draw, digit, detector, setting)
                            if key in known:
                                continue
                            start = time.perf_counter()
                            auroc = 100 * roc_auc_score(y, score(train, test, draw))
                            seconds = time.perf_counter() - start
                            names = ("set", "draw", "class", "detector", "setting", "auroc", "seconds")
                            done.append(dict(zip(names, (*key, auroc, seconds), strict=True)))
                            file.write(json.dumps(done[-1]) + "\n")
                            file.flush()
    rows = pd.DataFrame(done)
    rows = rows[(rows["draw"] >= first) & (rows["draw"] < first + args.draws)]
    print(table(rows))
    print(f"\n{differences(rows)}")


if __name__ == "__main__":
    main()
