"""Few labels: classifiers and regressors where most training samples have no label.

    python -m benchmarks.few_labels --data DIR [--only few mnist all regression transfer time settings ...]
                                    [--sets usps ...] [--labels N ...] [--methods NAME ...] [--draws 5]
                                    [--development] [--against NAME] [--figure accuracy] [--show] [--out FILE]

DIR holds ``images/mnist.npz`` and ``fashion_mnist.npz`` (X_train, y_train, X_test, y_test; LeCun et al.; Zalando
Research), ``tabular/usps.npz`` (the same keys), ``letter.npz``, ``madelon.npz`` and ``coil20.npz`` (X, y; UCI and
scikit-feature). Splits, labels and scaling are described in benchmarks/few_labels_beds.py, the methods in
benchmarks/few_labels_peers.py. Each measured cell is a line of FILE, from which a later run goes on.

- ``few``: 5, 10 and 25 labels a class; the mean over the sets with and without madelon.
- ``mnist``: 100 and 1000 labels; the main figure is the error in %.
- ``all``: all labels.
- ``regression``: 50 and 200 labels, four times as many draws.
- ``transfer``: usps with 10 labels a class, and an encoder that was fitted on MNIST, resized to 16 x 16.
- ``time``: usps and digits with 10 labels a class, and networks that are trained for 100 to 3000 steps.
- ``settings``, ``regression_settings``: values around the defaults of the two estimators, on development draws.

The main figure is the accuracy in %, or R2 in regression. Each table also has the log loss, with probabilities of at
least 1e-6, the Brier score (the squared error of the probabilities, summed over the classes) and seconds of the CPU:
choice among the settings, fit, and prediction, with the fit of the encoder. A second table has the differences of the
main figure from one method, paired over the draws, with 95 % intervals. Draws of ``--development`` are others than the
reported ones.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from sklearn.metrics import log_loss, r2_score

from benchmarks.cells import Cell, Key, half_width, store, stored
from benchmarks.few_labels_beds import BEDS, DEVELOPMENT, Draw, draws_of
from benchmarks.few_labels_peers import METHODS, Method
from benchmarks.tables import as_text

NAMES = ("bed", "set", "labels", "draw", "method")  # of the entries that identify a cell
AGAINST = {  # what a bed is compared with, if not with neighbours
    "regression": "Ridge",
    "transfer": "SVC",
    "time": "joint, 3000 steps",
    "settings": "AutoencoderClassifier",
    "regression_settings": "AutoencoderRegressor",
}
RESULTS = Path(__file__).parent / "results" / "few_labels.jsonl"
LEAST_PROBABILITY = 1e-6
FORMATS = {"accuracy": ".1f", "error": ".2f", "r2": ".3f", "log_loss": ".3f", "brier": ".3f", "seconds": ".1f"}


def measure(method: Method, draw: Draw) -> Cell:
    """Figures of one method in one draw."""
    X, y = draw.split.X_test, draw.split.y_test
    fitted = method.fit(draw)
    start = process_time()
    predicted = fitted.predict(X)
    seconds = fitted.seconds + process_time() - start
    if draw.is_regression:
        figures = {"r2": r2_score(y, predicted)}
    else:
        shares = fitted.predict_proba(X)
        hits = y[:, None] == fitted.estimator.classes_
        figures = {
            "accuracy": 100 * np.mean(predicted == y),
            "log_loss": log_loss(hits.argmax(axis=1), clipped(shares), labels=range(hits.shape[1])),
            "brier": np.square(shares - hits).sum(axis=1).mean(),
        }
    figures["seconds"] = seconds
    return {name: round(float(value), 4) for name, value in figures.items()} | {"setting": fitted.setting}


def clipped(shares: np.ndarray) -> np.ndarray:
    """Probabilities that are not 0."""
    shares = np.clip(shares.astype(np.float64), LEAST_PROBABILITY, None)
    return shares / shares.sum(axis=1, keepdims=True)


def figures_of(bed: str) -> tuple[str, ...]:
    """Names of the figures; the first is the main one."""
    match bed:
        case "mnist":
            return ("error", "log_loss", "brier", "seconds")
        case "regression" | "regression_settings":
            return ("r2", "seconds")
    return ("accuracy", "log_loss", "brier", "seconds")


def value_of(cell: Cell, figure: str) -> float:
    """Read a figure of a cell."""
    return 100 - cell["accuracy"] if figure == "error" else cell[figure]


@dataclass(frozen=True)
class Values:
    """Figures of some sets and draws of one bed."""

    cells: dict[Key, Cell]
    bed: str
    sets: list[str]
    draws: range
    labels: list[int] | None = None  # numbers of labels; None for all

    def __call__(self, figure: str, n_labels: int, method: str) -> np.ndarray:
        """Values of one method, an array (sets, draws)."""
        keys = [[(self.bed, name, n_labels, draw, method) for draw in self.draws] for name in self.sets]
        return np.array([[value_of(self.cells[key], figure) for key in row] for row in keys])

    @property
    def numbers(self) -> list[int]:
        """Numbers of labels."""
        return list(dict.fromkeys(n for name in self.sets for n in numbers_of(self.bed, name, self.labels)))


def numbers_of(bed: str, name: str, wanted: list[int] | None) -> list[int]:
    """Numbers of labels of a set, or those that are wanted."""
    return [n_labels for n_labels in BEDS[bed][name] if not wanted or n_labels in wanted]


def columns_of(values: np.ndarray, sets: list[str]) -> dict[str, np.ndarray]:
    """Values by set, and their means over all sets and over those but madelon; one value for each draw."""
    columns = dict(zip(sets, values, strict=True))
    if len(sets) > 1:
        columns["mean"] = values.mean(axis=0)
    if "madelon" in sets and len(sets) > 2:
        columns["but madelon"] = values[[name != "madelon" for name in sets]].mean(axis=0)
    return columns


def table(values: Values, methods: Iterable[str], figure: str) -> list[dict[str, Any]]:
    """Means over the draws, and those of the other figures over the sets too."""
    rows = []
    for n_labels in values.numbers:
        for method in methods:
            row: dict[str, Any] = {"bed": values.bed, "labels": str(n_labels or "all"), "method": method}
            columns = columns_of(values(figure, n_labels, method), values.sets)
            row |= {name: column.mean() for name, column in columns.items()}
            rest = [name for name in figures_of(values.bed) if name != figure]
            rows.append(row | {name: values(name, n_labels, method).mean() for name in rest})
    return rows


def differences(values: Values, methods: Iterable[str], figure: str, against: str) -> list[dict[str, Any]]:
    """Means of the differences from one method, paired over the draws, with 95 % intervals."""
    rows = []
    for n_labels in values.numbers:
        reference = values(figure, n_labels, against)
        for method in methods:
            if method != against:
                row = {"labels": str(n_labels or "all"), f"minus {against}": method}
                columns = columns_of(values(figure, n_labels, method) - reference, values.sets)
                rows.append(row | {name: interval(column, FORMATS[figure]) for name, column in columns.items()})
    return rows


def interval(values: np.ndarray, digits: str) -> str:
    """Write a mean difference with its 95 % interval."""
    return f"{values.mean():+{digits}} +- {half_width(values):{digits}}"


def report(values: Values, methods: list[str], figure: str | None, against: str) -> str:
    """Both tables of a bed."""
    figure = figure if figure in figures_of(values.bed) else figures_of(values.bed)[0]
    formats = FORMATS | dict.fromkeys([*values.sets, "mean", "but madelon"], FORMATS[figure])
    best = dict.fromkeys([*values.sets, "mean", "but madelon"], max if figure in ("accuracy", "r2") else min)
    text = f"{figure}\n{as_text(table(values, methods, figure), formats, 'labels', best)}"
    if against in methods and len(methods) > 1:
        text += f"\n\n{as_text(differences(values, methods, figure, against), {}, 'labels')}"
    return text


def draws_for(bed: str, options: argparse.Namespace) -> range:
    """Seeds of the draws of a bed."""
    first = DEVELOPMENT if options.development or bed.endswith("settings") else 0
    return range(first, first + options.draws * (4 if bed == "regression" else 1))


def keys_of(
    bed: str, sets: Iterable[str], draws: range, methods: Iterable[str], labels: list[int] | None = None
) -> list[Key]:
    """Keys of the cells of a table."""
    return [
        (bed, name, n_labels, draw, method)
        for name in sets
        for draw in draws
        for n_labels in numbers_of(bed, name, labels)
        for method in methods
    ]


def run(options: argparse.Namespace) -> None:
    """Measure what is missing, and print the tables of the sets of which all cells are known."""
    known = stored(options.out, NAMES)
    for bed in options.only:
        methods = {name: m for name, m in METHODS[bed].items() if not options.methods or name in options.methods}
        sets = [name for name in BEDS[bed] if not options.sets or name in options.sets]
        labels = options.labels
        draws = draws_for(bed, options)
        if not options.show:
            missing = [key for key in keys_of(bed, sets, draws, methods, labels) if key not in known]
            for draw in draws_of(bed, options.data, {(name, seed) for _, name, _, seed, _ in missing}):
                for name, method in methods.items():
                    key = bed, draw.name, draw.n_labels, draw.split.seed, name
                    if key in missing:
                        store(options.out, known, NAMES, key, measure(method, draw))
        names = [name for name in methods if any(key in known for key in keys_of(bed, sets, draws, [name], labels))]
        sets = [name for name in sets if all(key in known for key in keys_of(bed, [name], draws, names, labels))]
        if sets and names:
            against = options.against or AGAINST.get(bed, "neighbours")
            print(f"{report(Values(known, bed, sets, draws, labels), names, options.figure, against)}\n", flush=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="needed by all sets but digits and those of regression")
    parser.add_argument("--only", nargs="+", choices=BEDS, default=list(BEDS))
    parser.add_argument("--sets", nargs="+", help="sets of the beds")
    parser.add_argument("--labels", nargs="+", type=int, help="numbers of labels, 0 for all")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--development", action="store_true", help="draws for choosing settings")
    parser.add_argument("--against", help="neighbours, Ridge or SVC, if not given")
    parser.add_argument("--figure", help="of the columns, instead of the main figure")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    run(options)


if __name__ == "__main__":
    main()
