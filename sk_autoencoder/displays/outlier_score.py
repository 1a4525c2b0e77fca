"""Histogram of outlier scores with the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sk_autoencoder.displays.checks import check_detector
from sk_autoencoder.displays.style import LEARNT, OUTLIER, pyplot, tidy
from sk_autoencoder.model_selection import outlier_mask

_FEWEST_BINS, _MOST_BINS = 12, 60
_MOST_TICKS = 100  # maximum number of outliers that are marked one by one below the axis
_LARGEST_RANGE = 1e3  # in interquartile ranges; beyond, the rule "auto" of numpy would need too many bins


class OutlierScoreDisplay:
    """Histogram of outlier scores with the threshold, coloured by label or prediction.

    Samples to the right of the threshold are predicted to be outliers. The bars are stacked. If there are at most 100
    outliers, each is marked by a tick below the axis.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Outlier scores, larger for more outlying samples.
    threshold : float or None, default=None
        Samples with a larger score are predicted to be outliers. None draws no threshold.
    is_outlier : array-like of bool of shape (n_samples,) or None, default=None
        Which samples are labelled as outliers. None colours the bars by prediction.

    Attributes
    ----------
    bars_ : dict of str to matplotlib BarContainer
        The bars of "normal" and "outlier" samples; a key is missing if there are no such samples.
    line_ : matplotlib Line2D or None
        The threshold.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    FeatureScoresDisplay : Contributions of features to the outlier score of one sample.
    OutlierReconstructionDisplay : Samples, their reconstructions and predictions.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sk_autoencoder import AutoencoderOutlierDetector, OutlierScoreDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)  # 1 = benign, 0 = malignant
    >>> detector = AutoencoderOutlierDetector(max_iter=5, random_state=0).fit(X[y == 1][:200])
    >>> display = OutlierScoreDisplay.from_estimator(detector, X, y, outlier_label=0)
    >>> display.ax_.get_xlabel()
    'Outlier score (larger = more outlying)'
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
        """Draw the outlier scores of samples.

        Parameters
        ----------
        detector : estimator
            A fitted outlier detector with ``score_samples`` and ``offset_``, of this package or of scikit-learn.
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or None, default=None
            Labels that determine the colours: 1 and -1 (outliers), or 0 and 1 (outliers). None colours the bars by
            prediction.
        outlier_label : {-1, 0, 1} or None, default=None
            The label of outliers. None interprets the labels as above, and raises an error if most samples are
            outliers, as ``OutlierScorer`` does.
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
            If it has no ``score_samples`` or ``offset_``, or if the meaning of the labels is ambiguous.
        """
        check_detector(detector, "score_samples", "offset_")
        is_outlier = None if y is None else outlier_mask(y, outlier_label, both=False)
        scores = -np.asarray(detector.score_samples(X))
        return cls(scores, threshold=-float(np.asarray(detector.offset_).item()), is_outlier=is_outlier).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax: Any = None, *, bins: Any = "auto", **kwargs: Any) -> OutlierScoreDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        bins : int, sequence of float or str, default="auto"
            As in ``numpy.histogram_bin_edges``, but "auto" takes 12 to 60 bins with an edge at the threshold.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.hist``.

        Returns
        -------
        self : OutlierScoreDisplay
            With ``bars_``, ``line_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If scores are empty, not 1-D or not finite, if they do not match the labels, or if there are neither labels
            nor a threshold.
        """
        scores = np.asarray(self.scores, dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise ValueError(f"scores must be 1-D, finite and not empty, but have shape {scores.shape}.")
        if self.is_outlier is None and self.threshold is None:
            raise ValueError("There is nothing that determines the colours: pass threshold or is_outlier.")
        predicted = np.zeros(len(scores), bool) if self.threshold is None else scores > self.threshold
        is_outlier = predicted if self.is_outlier is None else np.asarray(self.is_outlier, dtype=bool)
        check_consistent_length(scores, is_outlier)

        if ax is None:
            _, ax = pyplot("OutlierScoreDisplay").subplots(figsize=(6.8, 4.0), layout="constrained")
        self.ax_, self.figure_, self.bars_, self.line_ = ax, ax.figure, {}, None
        automatic = isinstance(bins, str) and bins == "auto"
        edges = self._edges(scores) if automatic else np.histogram_bin_edges(scores, bins)
        classes = {"normal": (LEARNT, ~is_outlier), "outlier": (OUTLIER, is_outlier)}
        bottom = np.zeros(len(edges) - 1)
        for name, (colour, mask) in classes.items():
            if mask.any():
                look = {"color": colour, "alpha": 0.75, "label": self._label(name, mask, predicted), "rwidth": 0.94}
                counts, _, self.bars_[name] = ax.hist(scores[mask], edges, **({"bottom": bottom} | look | kwargs))
                bottom = bottom + counts
        if 0 < is_outlier.sum() <= _MOST_TICKS:
            self._ticks(scores[is_outlier])
        ax.set(xlabel="Outlier score (larger = more outlying)", ylabel="Samples")
        tidy(ax, grid="y")
        if self.threshold is not None:
            self._mark(float(self.threshold))
        self._legend()
        return self

    def _edges(self, scores: np.ndarray) -> np.ndarray:
        """Edges of bins of equal width, one of which is the threshold, so that no bar extends to both sides of it."""
        low, high = scores.min(), scores.max()
        # numpy's rule divides the range of the scores by a width in proportion to their interquartile range.
        rule_is_affordable = np.ptp(scores) < _LARGEST_RANGE * _iqr(scores)
        n_bins = len(np.histogram_bin_edges(scores, "auto")) - 1 if rule_is_affordable else _MOST_BINS
        width = (high - low) / np.clip(n_bins, _FEWEST_BINS, _MOST_BINS)
        if width == 0:  # all scores are equal
            width = 1.0
        # The edges are origin + k * width for integers k, from the last edge <= low to the first edge > high.
        origin = low if self.threshold is None else self.threshold
        first_k = np.floor((low - origin) / width)
        last_k = np.floor((high - origin) / width) + 1
        edges = origin + width * np.arange(first_k, last_k + 1)
        # Rounding may leave an extreme score just outside.
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
        return edges

    def _label(self, name: str, mask: np.ndarray, predicted: np.ndarray) -> str:
        """Legend entry of a class of samples."""
        if self.is_outlier is None:
            return f"called {name} ({mask.sum()} samples)"
        if self.threshold is None:
            return f"{name} ({mask.sum()} samples)"
        return f"{name}: {predicted[mask].sum()} of {mask.sum()} called outliers"

    def _ticks(self, scores: np.ndarray) -> None:
        """Draw a tick for each outlier below the axis, because bars of few samples may be too low to be seen."""
        look = {"color": OUTLIER, "markersize": 5, "markeredgewidth": 1.0, "clip_on": False}
        place = self.ax_.get_xaxis_transform()
        self.ax_.plot(scores, np.full(len(scores), -0.02), "|", transform=place, **look)
        self.ax_.tick_params(axis="x", length=0, pad=9)

    def _mark(self, threshold: float) -> None:
        """Draw the threshold, with a label on each side."""
        ax = self.ax_
        self.line_ = ax.axvline(threshold, color="0.15", linewidth=1.4, zorder=3)
        low, high = ax.get_xlim()
        room = 0.28 * (high - low)  # width of the labels
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
