"""Outlying steps of multi-sensor time series: how well methods rank them, alarm and name sensors.

    python -m benchmarks.series --data DIR [--only skab smd synthetic attribution] [--methods NAME ...] [--all]
                                [--against "PCA (90 %)"] [--draws 3] [--out FILE]
    python -m benchmarks.series --calibrate [--out FILE]

DIR holds ``series/skab/*.npz`` (X, y; github waico/SKAB) and ``series/smd/*.npz`` (X_train, X_test, y_test; github
NetManAIOps/OmniAnomaly). The beds are described in benchmarks/series_beds.py, the methods in
benchmarks/series_peers.py, the figures in benchmarks/series_metrics.py. Each measured cell is a line of FILE, from
which a later run goes on.

Methods on windows have three settings, windows of 16, 32 and 64 steps. A table shows the best one, or all with
``--all``. It is chosen by the main figure: on the runs 0 to 7 of SKAB, and on what is shown for the others, which
favours the peers.

- ``skab``: AUROC of the runs 0-7, 8-15 and all (main figure), average precision and VUS-PR; F1, false alarm rate and
  missed alarm rate (%), pooled over the runs, at a threshold from the training steps: that of the method itself, or
  the largest score of the last quarter of the training steps after a fit on the others. ``FAR free`` is that of the run
  without anomalies.
- ``smd``: average precision (main figure), VUS-PR and AUROC.
- ``synthetic``: events found of ten of each kind, at the threshold with one merged alarm a day on eight clean days that
  were not trained on. ``alarms`` are merged false alarms a day in the last eight days, ``own`` those on the clean days
  at the threshold of the method itself, if it has one. The main figure is the share of all events that is found.
- ``attribution``: how often (%) the faulty sensor has the largest mean score over the steps of the fault (main figure),
  or is among the first three, by kind.

``--calibrate`` counts for a grid of strengths how many of the ten events of each kind the peers of ``smd`` find.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import rankdata, wilcoxon

from benchmarks.cells import Cell, half_width, store, stored
from benchmarks.series_beds import (
    CLEAN_DAYS,
    DAY,
    FAULTS,
    KINDS,
    N_SYNTHETIC,
    Series,
    attribution,
    skab,
    smd,
    synthetic,
    synthetic_series,
)
from benchmarks.series_metrics import (
    MERGED_WITHIN,
    confusion,
    events_found,
    intervals,
    pooled,
    ranking,
    threshold_for_alarms,
)
from benchmarks.series_peers import COMPOSITIONS, LAST, METHODS, SENSOR_METHODS, WINDOW_SIZES, Method, Scorer
from benchmarks.tables import as_text

NAMES = ("bed", "method", "series")  # of the entries that identify a cell
N_CLEAN = CLEAN_DAYS * DAY
SMD_PEERS = ("window length", "PCA (90 %)", "KMeans", "IsolationForest", "neighbours")
MARGIN = max(WINDOW_SIZES)  # steps before and after an event
GRID = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)


def threshold(scorer: Scorer, X_train: np.ndarray) -> float:
    """That of the method itself, or the largest score of the last quarter of the training steps."""
    if scorer.threshold is not None:
        return scorer.threshold
    n_fitted = len(X_train) * 3 // 4
    return float(scorer(X_train[:n_fitted], X_train[n_fitted:]).max())


def measure_skab(scorer: Scorer, series: Series) -> Cell:
    """Figures of one run."""
    scores = scorer(series.train, series.test)
    cell: Cell = confusion(series.labels, scores > threshold(scorer, series.train))
    return cell | ranking(series.labels, scores) if series.labels.any() else cell


def measure_smd(scorer: Scorer, series: Series) -> Cell:
    """Figures of one machine."""
    return ranking(series.labels, scorer(series.train, series.test))


def measure_synthetic(scorer: Scorer, series: Series) -> Cell:
    """Which events are found, and false alarms a day."""
    scores = scorer(series.train, series.test)
    flags = scores > threshold_for_alarms(scores[:N_CLEAN], CLEAN_DAYS)
    found = events_found(flags, [(event.start, event.stop) for event in series.events])
    alarms = intervals(flags[N_CLEAN:], MERGED_WITHIN)
    false = [not series.labels[max(0, a + N_CLEAN - DAY // 24) : b + N_CLEAN + DAY // 24].any() for a, b in alarms]
    cell: Cell = {
        "found": {event.kind: hit for event, hit in zip(series.events, found, strict=True)},
        "share": float(np.mean(found)),
        "alarms": sum(false) / len(KINDS),
    }
    if scorer.threshold is not None:
        cell["own"] = len(intervals(scores[:N_CLEAN] > scorer.threshold, MERGED_WITHIN)) / CLEAN_DAYS
    return cell


def measure_attribution(method: Method, series: Series) -> Cell:
    """Place of the faulty sensor for each fault, 1 for the largest score."""
    scores = method(series.train, series.test)
    places = []
    for event in series.events:
        means = scores[event.start : event.stop].mean(axis=0)
        places.append((event.kind, int(1 + (means > means[event.sensor]).sum())))
    return {"places": places, "first": float(np.mean([place == 1 for _, place in places]))}


def table_of_skab(cells: dict[str, Cell]) -> dict[str, Any]:
    """Row of one method."""
    runs = [cells[f"valve1_{run}"] for run in range(16)]
    row: dict[str, Any] = {"0-7": mean_of(runs[:8], "auroc"), "8-15": mean_of(runs[8:], "auroc")}
    row |= {"AUROC": mean_of(runs, "auroc"), "AP": mean_of(runs, "ap"), "VUS-PR": mean_of(runs, "vus")}
    row |= pooled(runs)
    row |= {f"{name} 8-15": value for name, value in pooled(runs[8:]).items()}
    return row | {"FAR free": pooled([cells["anomaly_free"]])["FAR"]}


def table_of_smd(cells: dict[str, Cell]) -> dict[str, Any]:
    """Row of one method."""
    machines = list(cells.values())
    row = {"AP": mean_of(machines, "ap"), "VUS-PR": mean_of(machines, "vus"), "AUROC": mean_of(machines, "auroc")}
    return row | {f"AP {name.removeprefix('machine-')}": cell["ap"] for name, cell in cells.items()}


def table_of_synthetic(cells: dict[str, Cell]) -> dict[str, Any]:
    """Row of one method."""
    row: dict[str, Any] = {kind: sum(cell["found"][kind] for cell in cells.values()) for kind in KINDS}
    row["kinds with 8"] = sum(row[kind] >= 8 for kind in KINDS)
    row |= {"share": mean_of(cells.values(), "share"), "alarms": mean_of(cells.values(), "alarms")}
    own = [cell["own"] for cell in cells.values() if "own" in cell]
    return row | {"own": float(np.mean(own)) if own else np.nan}


def table_of_attribution(cells: dict[str, Cell]) -> dict[str, Any]:
    """Row of one method."""
    places = [place for cell in cells.values() for place in cell["places"]]
    row = {}
    for kind in FAULTS:
        of_kind = np.array([place for name, place in places if name == kind])
        row |= {kind: 100 * np.mean(of_kind == 1), f"{kind[:6]} in 3": 100 * np.mean(of_kind <= 3)}
    return row | {"first": 100 * np.mean([place == 1 for _, place in places])}


def mean_of(cells: Any, figure: str) -> float:
    """Mean of a figure over cells."""
    return float(np.mean([cell[figure] for cell in cells]))


class Bed:
    """Series, methods, and what is measured: the main figure ranks methods and chooses settings."""

    def __init__(self, methods: dict[str, Any], measure: Callable[..., Cell], row: Callable[..., Any], main: str):
        self.methods, self.measure, self.row, self.main = methods, measure, row, main


BEDS = {
    "skab": Bed(METHODS | COMPOSITIONS | LAST, measure_skab, table_of_skab, "auroc"),
    "smd": Bed(METHODS | COMPOSITIONS, measure_smd, table_of_smd, "ap"),
    "synthetic": Bed(METHODS, measure_synthetic, table_of_synthetic, "share"),
    "attribution": Bed(SENSOR_METHODS, measure_attribution, table_of_attribution, "first"),
}


def series_of(bed: str, data: Path, draws: int) -> Iterator[Series]:
    """Yield the series of a bed."""
    match bed:
        case "skab":
            yield from skab(data)
        case "smd":
            yield from smd(data)
        case "synthetic":
            yield from synthetic()
        case "attribution":
            yield from attribution(data, draws)


def best_settings(cells: dict[str, dict[str, Cell]], main: str) -> list[str]:
    """The best setting of each method; on SKAB by the runs 0 to 7."""
    best: dict[str, tuple[float, str]] = {}
    for name, by_series in cells.items():
        chosen_by = [by_series[f"valve1_{run}"] for run in range(8)] if "valve1_0" in by_series else by_series.values()
        value, family = mean_of(chosen_by, main), name.split(", ")[0]
        if family not in best or value > best[family][0]:
            best[family] = value, name
    return [name for _, name in best.values()]


def comparisons(cells: dict[str, dict[str, Cell]], names: list[str], main: str, against: str) -> list[dict[str, Any]]:
    """Paired differences of the main figure over series to the best setting of one method.

    With 95 % intervals and Wilcoxon tests.
    """
    best = best_settings(cells, main)
    family = against.split(", ")[0]
    reference = next((name for name in [against, *best] if name in cells and name.split(", ")[0] == family), None)
    if reference is None:
        return []
    rows = []
    for name in names:
        row: dict[str, Any] = {"method": name, "against": reference}
        groups = {"all": [key for key, cell in cells[name].items() if main in cell]}
        if "valve1_0" in cells[name]:
            groups["8-15"] = [f"valve1_{run}" for run in range(8, 16)]
        for group, keys in groups.items():
            differences = np.array([cells[name][key][main] - cells[reference][key][main] for key in keys])
            row[group] = f"{differences.mean():+.3f} +- {half_width(differences):.3f}"
            row[f"p {group}"] = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
        if name != reference:
            rows.append(row)
    return rows


def report(bed: str, cells: dict[str, dict[str, Cell]], every_setting: bool, against: str) -> str:
    """Table of means and ranks, and paired differences."""
    main = BEDS[bed].main
    names = list(cells) if every_setting else best_settings(cells, main)
    keys = [key for key, cell in cells[names[0]].items() if main in cell]
    ranks = np.mean([rankdata([-cells[name][key][main] for name in names]) for key in keys], axis=0)
    rows = []
    for name, rank in zip(names, ranks, strict=True):
        row = {"bed": bed, "method": name, **BEDS[bed].row(cells[name]), "rank": rank}
        rows.append(row | {"seconds": mean_of(cells[name].values(), "seconds")})
    formats = dict.fromkeys(("0-7", "8-15", "AUROC", "AP", "VUS-PR", "share"), ".3f")
    formats |= {name: ".3f" if name.startswith("AP ") else ".1f" for name in rows[0] if name not in formats}
    formats |= dict.fromkeys(("bed", "method"), "") | (dict.fromkeys(KINDS, "d") if bed == "synthetic" else {})
    formats |= {"kinds with 8": "d", "alarms": ".2f"}
    text = as_text(rows, formats, blocks="bed")
    pairs = comparisons(cells, names, main, against)
    if pairs:
        text += "\n\n" + as_text(pairs, {name: ".3f" for name in pairs[0] if name.startswith("p ")}, blocks="against")
    return text


def run(options: argparse.Namespace) -> None:
    """Measure what is missing, and print the tables."""
    known = stored(options.out, NAMES)
    for bed in options.only:
        methods = BEDS[bed].methods
        named = options.methods or {name.split(", ")[0] for name in methods} - set(COMPOSITIONS)
        wanted = [name for name in methods if name.split(", ")[0] in named]
        cells: dict[str, dict[str, Cell]] = {name: {} for name in wanted}
        for series in series_of(bed, options.data, options.draws):
            for name in wanted:
                key = bed, name, series.name
                if key not in known:
                    start = perf_counter()
                    figures = BEDS[bed].measure(methods[name], series)
                    store(options.out, known, NAMES, key, figures | {"seconds": perf_counter() - start})
                cells[name][series.name] = known[key]
        if cells:
            print(f"{report(bed, cells, options.all, options.against)}\n", flush=True)


def found_by_strength(scorer: Scorer, seed: int) -> Cell:
    """Which events of one series are found, for each strength of the grid.

    One test series holds the clean days, and each event with each strength between the steps around it.
    """
    pieces, places = [], []
    n_steps = N_CLEAN
    for strength in GRID:
        series = synthetic_series(seed, dict.fromkeys(KINDS, strength))
        for event in series.events:
            pieces.append(series.test[event.start - MARGIN : event.stop + MARGIN])
            places.append((n_steps + MARGIN, n_steps + len(pieces[-1]) - MARGIN))
            n_steps += len(pieces[-1])
    scores = scorer(series.train, np.concatenate([series.test[:N_CLEAN], *pieces]))
    flags = scores > threshold_for_alarms(scores[:N_CLEAN], CLEAN_DAYS)
    found = np.reshape(events_found(flags, places), (len(GRID), len(KINDS)))
    return {event.kind: hits.tolist() for event, hits in zip(series.events, found.T, strict=True)}


def calibrate(options: argparse.Namespace) -> None:
    """Print for each kind and strength how many of the ten events the peers find; each has its best setting on SMD."""
    known = stored(options.out, NAMES)
    of_smd: dict[str, dict[str, Cell]] = {}
    for (bed, name, series), cell in known.items():
        if bed == "smd" and name.split(", ")[0] in SMD_PEERS:
            of_smd.setdefault(name, {})[series] = cell
    if not of_smd:
        raise SystemExit("--calibrate needs the figures of --only smd in the same file.")
    rows: list[dict[str, Any]] = []
    for name in best_settings(of_smd, "ap"):
        cells = []
        for seed in range(N_SYNTHETIC):
            key = "calibration", name, f"synthetic {seed}"
            if key not in known:
                store(options.out, known, NAMES, key, {"found": found_by_strength(METHODS[name], seed)})
            cells.append(known[key]["found"])
        for kind in KINDS:
            counts = np.sum([cell[kind] for cell in cells], axis=0).tolist()
            rows.append({"kind": kind, "method": name, **dict(zip(map(str, GRID), counts, strict=True))})
    rows.sort(key=lambda row: KINDS.index(row["kind"]))
    print(as_text(rows, {}, blocks="kind"))


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="needed by all but the synthetic series")
    parser.add_argument("--only", nargs="+", choices=BEDS, default=list(BEDS))
    parser.add_argument("--methods", nargs="+", help="names without their settings; needed for compositions")
    parser.add_argument("--all", action="store_true", help="show all settings")
    parser.add_argument("--against", default="PCA (90 %)")
    parser.add_argument("--draws", type=int, default=3, help="draws of faults for attribution")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("series.jsonl"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.data is None and not options.calibrate and options.only != ["synthetic"]:
        parser.error("--data is needed")
    (calibrate if options.calibrate else run)(options)


if __name__ == "__main__":
    main()
