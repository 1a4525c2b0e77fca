"""Figures for scores of time steps, larger for more outlying ones; labels are 1 or True for anomalous steps.

There is no point adjustment: a step counts as found only if it is flagged itself. Alarms are merged only to count them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

VUS_BUFFER = 32  # steps
MERGED_WITHIN = 60  # steps between two flagged ones that count as one alarm


def intervals(flags: np.ndarray, within: int = 1) -> list[tuple[int, int]]:
    """Runs of flagged steps as (start, stop); steps at most ``within`` apart belong to one run."""
    steps = np.flatnonzero(flags)
    if len(steps) == 0:
        return []
    gaps = np.flatnonzero(np.diff(steps) > within)
    return list(zip(steps[np.r_[0, gaps + 1]].tolist(), (steps[np.r_[gaps, -1]] + 1).tolist(), strict=True))


def vus_pr(labels: np.ndarray, scores: np.ndarray, buffer: int = VUS_BUFFER) -> float:
    """Volume under the surface of precision, recall and buffer length.

    For a buffer of length l, the label of a step at a distance d of at most l / 2 from an anomaly is sqrt(1 - d / l).
    True positives are the labels of flagged steps, and false positives are what is missing to 1 there. Recall is their
    sum, divided by the mean of the sums of labels with and without the buffer (at most 1), times the fraction of
    anomalies that are touched, with their buffers. The area under the steps of the precision-recall curve, over all
    thresholds, is averaged over the buffers 0, 1, ..., ``buffer``.

    References
    ----------
    J. Paparrizos et al., "Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly
    Detection", VLDB 2022.
    """
    labels = np.asarray(labels, dtype=float)
    anomalies = intervals(labels > 0)
    order = np.argsort(-np.asarray(scores), kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(np.asarray(scores)[order])), len(order) - 1]  # flag equal scores together
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    flagged = ends + 1
    areas = []
    for length in range(buffer + 1):
        soft, touched = labels.copy(), np.zeros(len(labels))
        distances = np.arange(1, length // 2 + 1)
        slope = np.sqrt(1 - distances / length) if length else distances
        for start, stop in anomalies:
            before, after = start - distances, stop - 1 + distances
            for steps in (before, after):
                inside = (steps >= 0) & (steps < len(labels))
                soft[steps[inside]] = np.maximum(soft[steps[inside]], slope[inside])
            first, last = max(0, start - length // 2), min(len(labels), stop + length // 2)
            touched[rank[first:last].min()] += 1
        hits = np.cumsum(soft[order])[ends]
        recall = np.minimum(hits / ((labels + soft).sum() / 2), 1) * np.cumsum(touched)[ends] / len(anomalies)
        areas.append(np.sum(np.diff(recall, prepend=0) * hits / flagged))
    return float(np.mean(areas))


def ranking(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """AUROC, average precision and VUS-PR."""
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "ap": float(average_precision_score(labels, scores)),
        "vus": vus_pr(labels, scores),
    }


def confusion(labels: np.ndarray, flags: np.ndarray) -> dict[str, int]:
    """Numbers of steps by label and flag."""
    labels, flags = np.asarray(labels, dtype=bool), np.asarray(flags, dtype=bool)
    return {
        "tp": int((labels & flags).sum()),
        "fp": int((~labels & flags).sum()),
        "fn": int((labels & ~flags).sum()),
        "tn": int((~labels & ~flags).sum()),
    }


def pooled(counts: Iterable[dict[str, int]]) -> dict[str, float]:
    """F1, false alarm rate and missed alarm rate of the sums of several ``confusion``, in percent."""
    counts = list(counts)
    tp, fp, fn, tn = (sum(count[name] for count in counts) for name in ("tp", "fp", "fn", "tn"))
    return {
        "F1": 100 * tp / max(1, tp + (fn + fp) / 2),
        "FAR": 100 * fp / max(1, fp + tn),
        "MAR": 100 * fn / max(1, fn + tp),
    }


def threshold_for_alarms(scores: np.ndarray, n_alarms: int, within: int = MERGED_WITHIN) -> float:
    """Lowest score t such that for each threshold >= t, at most ``n_alarms`` merged alarms have scores above it."""
    scores = np.asarray(scores, dtype=float)
    flagged: list[int] = []
    alarms = 0
    order = np.argsort(-scores, kind="stable")
    levels = scores[order]
    for step, level in zip(order.tolist(), levels.tolist(), strict=True):
        place = bisect_left(flagged, step)
        near_before = place > 0 and step - flagged[place - 1] <= within
        near_after = place < len(flagged) and flagged[place] - step <= within
        joined = 0 < place < len(flagged) and flagged[place] - flagged[place - 1] <= within
        alarms += joined + 1 - near_before - near_after
        flagged.insert(place, step)
        if alarms > n_alarms:
            return level
    return float(levels[-1])


def events_found(flags: np.ndarray, events: Iterable[tuple[int, int]]) -> list[bool]:
    """Whether at least one step of each event (start, stop) is flagged."""
    return [bool(np.any(flags[start:stop])) for start, stop in events]
