"""Outlier scores and the threshold among them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import LEARNT, OUTLIER, pyplot, tidy
from sk_autoencoder.model_selection import outlier_mask

_FEWEST_BINS, _MOST_BINS = 12, 60
_MOST_TICKS = 100  # outliers drawn one by one below the bars


class OutlierScoreDisplay:
    """Histogram of outlier scores with the threshold, coloured by label or by what the detector calls the rows.

    Rows to the right of the threshold are called outliers. Bars stand on each other; a tick below the axis marks each
    outlier, if there are at most 100.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores, larger for stranger rows.
    threshold : float or None, default=None
        Rows with a larger score are called outliers. None draws no line.
    is_outlier : array-like of bool of shape (n_samples,) or None, default=None
        Which rows are known to be outliers. None colours by the side of the threshold.

    Attributes
    ----------
    bars_ : dict of str to matplotlib BarContainer
        The bars of "normal" rows and of "outlier" rows, as far as there are any.
    line_ : matplotlib Line2D or None
        The threshold.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    FeatureScoresDisplay : What makes a row strange.
    OutlierReconstructionDisplay : Rows, what the network expected instead, and the verdict.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_autoencoder import AutoencoderOutlierDetector, OutlierScoreDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)  # 1 = benign, 0 = malignant
    >>> detector = AutoencoderOutlierDetector(max_iter=5, random_state=0).fit(X[y == 1][:200])
    >>> display = OutlierScoreDisplay.from_estimator(detector, X, y, outlier_label=0)
    >>> display.ax_.get_xlabel()
    'Outlier score (larger = stranger)'
    >>> sorted(display.bars_)
    ['normal', 'outlier']
    """

    def __init__(self, scores: Any, *, threshold: float | None = None, is_outlier: Any = None):
        self.scores = scores
        self.threshold = threshold
        self.is_outlier = is_outlier

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        y: Any = None,
        *,
        outlier_label: int | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> OutlierScoreDisplay:
        """Draw the scores that a fitted detector gives rows.

        Parameters
        ----------
        detector : estimator
            A fitted outlier detector with ``score_samples`` and ``offset_``, of this package or of scikit-learn.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or None, default=None
            Labels to colour by: 1 and -1 (outliers), or 0 and 1 (outliers). None colours by the detector's verdict.
        outlier_label : {-1, 0, 1} or None, default=None
            The label of outliers. None reads the labels as above and refuses those by which most rows are outliers,
            as ``OutlierScorer`` does.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : OutlierScoreDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the detector is not fitted.
        ValueError
            If it has no ``score_samples`` or ``offset_``, or if the meaning of the labels is not certain.
        """
        check_detector(detector, "score_samples", "offset_")
        known = None if y is None else outlier_mask(y, outlier_label)
        scores = -np.asarray(detector.score_samples(X))
        return cls(scores, threshold=-float(detector.offset_), is_outlier=known).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, *, bins: Any = "auto", **kwargs: Any) -> OutlierScoreDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        bins : int, sequence of float or str, default="auto"
            As in ``numpy.histogram_bin_edges``. "auto" takes 12 to 60 bins, one of which ends at the threshold.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        self : OutlierScoreDisplay
            With ``bars_``, ``line_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If scores are not 1-D and finite, are fewer than one, or do not match the labels, or if there are neither
            labels nor a threshold.
        """
        scores = np.asarray(self.scores, dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise ValueError(f"scores must be 1-D, finite and at least one, but have shape {scores.shape}.")
        if self.is_outlier is None and self.threshold is None:
            raise ValueError("Without a threshold rows have no verdict to colour by: pass threshold or is_outlier.")
        beyond = np.zeros(len(scores), bool) if self.threshold is None else scores > self.threshold
        strange = beyond if self.is_outlier is None else np.asarray(self.is_outlier, dtype=bool)
        check_consistent_length(scores, strange)

        if ax is None:
            _, ax = pyplot("OutlierScoreDisplay").subplots(figsize=(6.8, 4.0), layout="constrained")
        self.ax_, self.figure_, self.bars_, self.line_ = ax, ax.figure, {}, None
        automatic = isinstance(bins, str) and bins == "auto"
        edges = self._edges(scores) if automatic else np.histogram_bin_edges(scores, bins)
        kinds = {"normal": (LEARNT, ~strange), "outlier": (OUTLIER, strange)}
        below = np.zeros(len(edges) - 1)
        for name, (colour, own) in kinds.items():
            if own.any():
                look = {"color": colour, "alpha": 0.75, "label": self._label(name, own, beyond), "rwidth": 0.94}
                counts, _, self.bars_[name] = ax.hist(scores[own], edges, **({"bottom": below} | look | kwargs))
                below = below + counts
        if 0 < strange.sum() <= _MOST_TICKS:
            self._ticks(scores[strange])
        ax.set(xlabel="Outlier score (larger = stranger)", ylabel="Rows")
        tidy(ax, grid="y")
        if self.threshold is not None:
            self._mark(float(self.threshold))
        self._legend()
        return self

    def _edges(self, scores: np.ndarray) -> np.ndarray:
        """Bins of one width with an edge at the threshold, so that no bar stands on both sides."""
        low, high = scores.min(), scores.max()
        count = len(np.histogram_bin_edges(scores, "auto")) - 1 if np.ptp(scores) < 1e3 * _iqr(scores) else _MOST_BINS
        width = (high - low) / np.clip(count, _FEWEST_BINS, _MOST_BINS) or 1.0
        start = low if self.threshold is None else self.threshold
        first = np.floor((low - start) / width)
        return start + width * np.arange(first, np.floor((high - start) / width) + 2)

    def _label(self, name: str, own: np.ndarray, beyond: np.ndarray) -> str:
        if self.is_outlier is None:
            return f"called {name} ({own.sum()} rows)"
        if self.threshold is None:
            return f"{name} ({own.sum()} rows)"
        return f"{name}: {beyond[own].sum()} of {own.sum()} called outliers"

    def _ticks(self, scores: np.ndarray) -> None:
        """One tick an outlier below the axis, because few rows among many are too low a bar to be seen."""
        look = {"color": OUTLIER, "markersize": 5, "markeredgewidth": 1.0, "clip_on": False}
        place = self.ax_.get_xaxis_transform()
        self.ax_.plot(scores, np.full(len(scores), -0.02), "|", transform=place, **look)
        self.ax_.tick_params(axis="x", length=0, pad=9)

    def _mark(self, threshold: float) -> None:
        """Draw the threshold, and say which side of it is which."""
        ax = self.ax_
        self.line_ = ax.axvline(threshold, color="0.15", linewidth=1.4, zorder=3)
        low, high = ax.get_xlim()
        room = 0.28 * (high - low)  # that the words need on either side
        low, high = min(low, threshold - room), max(high, threshold + room)
        ax.set_xlim(low, high)
        ax.axvspan(threshold, high, color=OUTLIER, alpha=0.06, linewidth=0, zorder=0)
        ax.set_ylim(top=1.12 * ax.get_ylim()[1])
        words = {"xycoords": ax.get_xaxis_transform(), "textcoords": "offset points", "va": "top", "fontsize": "small"}
        ax.annotate("called normal \u2190", (threshold, 0.985), (-6, 0), ha="right", color=LEARNT, **words)
        ax.annotate("\u2192 called outlier", (threshold, 0.985), (6, 0), ha="left", color=OUTLIER, **words)

    def _legend(self) -> None:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2, "borderaxespad": 0.2}
        self.ax_.legend(frameon=False, handlelength=1.2, columnspacing=1.4, fontsize="small", **place)


def _iqr(scores: np.ndarray) -> float:
    return float(np.subtract(*np.quantile(scores, [0.75, 0.25])))
