"""Bar chart of the feature scores of one sample."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder._validation import as_numbers
from sk_autoencoder.displays import verdict
from sk_autoencoder.displays.checks import lack, row_labels
from sk_autoencoder.displays.style import pyplot, tidy

_REST = "0.75"
_FAINT = 0.4  # opacity of negative bars


class FeatureScoresDisplay:
    """Bar chart of the features with the largest contributions to the outlier score of a sample.

    The features with the largest absolute contributions are shown, from the largest contribution at the top, in red for
    an outlier and blue for a normal sample. Negative contributions, which the Mahalanobis score can have, lower the
    score and are drawn in a lighter shade. A grey bar shows the sum over all other features.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    feature_scores : array-like of shape (n_features,)
        Contribution of each feature to the outlier score.
    values : array-like of shape (n_features,) or None, default=None
        The sample, whose values are written after the feature names. None writes no values.
    expected : array-like of shape (n_features,) or None, default=None
        The reconstruction of the sample, written after the values. None writes no expected values.
    feature_names : array-like of str of shape (n_features,) or None, default=None
        Names of the features. None names them x0, x1 and so on.
    title : str or None, default=None
        Title of the axes.
    is_outlier : bool or None, default=None
        Whether the sample is predicted to be an outlier, which determines the colour of title and bars. None draws the
        bars as for an outlier.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars, from top to bottom.
    features_ : ndarray of int
        Indices of the features shown, from top to bottom.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    OutlierScoreDisplay : Histogram of the scores of many samples.
    OutlierReconstructionDisplay : Samples, their reconstructions and predictions.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sk_autoencoder import AutoencoderOutlierDetector, FeatureScoresDisplay
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> detector = AutoencoderOutlierDetector(max_iter=20, random_state=0).fit(X[y == 0])
    >>> display = FeatureScoresDisplay.from_estimator(detector, X, index=100, top=5)
    >>> len(display.features_)
    5
    >>> [label.get_text() for label in display.ax_.get_yticklabels()][-1]
    '8 other features'
    """

    def __init__(
        self,
        feature_scores: Any,
        *,
        values: Any = None,
        expected: Any = None,
        feature_names: Any = None,
        title: str | None = None,
        is_outlier: bool | None = None,
    ):
        self.feature_scores = feature_scores
        self.values = values
        self.expected = expected
        self.feature_names = feature_names
        self.title = title
        self.is_outlier = is_outlier

    @classmethod
    def from_estimator(
        cls, detector: Any, X: Any, index: int = 0, *, top: int = 10, ax: Any = None, **kwargs: Any
    ) -> FeatureScoresDisplay:
        """Draw the contributions of the features to the outlier score of one sample.

        Parameters
        ----------
        detector : estimator
            A fitted detector with ``feature_scores``.
        X : array-like of shape (n_samples, n_features) or (n_features,)
            Samples, or a single sample.
        index : int, default=0
            Position of the sample; negative positions count from the end. The title shows the label of the sample if X
            is a DataFrame.
        top : int, default=10
            Number of features to show.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : FeatureScoresDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the detector is not fitted.
        ValueError
            If it has no ``feature_scores``.
        IndexError
            If ``index`` is out of range.
        """
        check_is_fitted(detector)
        if not hasattr(detector, "feature_scores"):
            raise ValueError(f"{lack(detector, 'feature_scores')} They are needed to draw an explanation.")
        row = _one_row(X, index)
        is_outlier, evidence = verdict.verdicts(detector, row)
        name = "" if _is_single(X) else f"{(row_labels(row) or [f'sample {index}'])[0]}: "
        display = cls(
            detector.feature_scores(row)[0],
            values=as_numbers(row, "X")[0],
            expected=detector.reconstruct(row)[0] if hasattr(detector, "reconstruct") else None,
            feature_names=getattr(detector, "feature_names_in_", None),
            title=f"{name}{verdict.word(is_outlier[0])}, {evidence[0]}",
            is_outlier=bool(is_outlier[0]),
        )
        return display.plot(ax=ax, top=top, **kwargs)

    def plot(self, ax: Any = None, *, top: int = 10, **kwargs: Any) -> FeatureScoresDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        top : int, default=10
            Number of features to show.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.barh``.

        Returns
        -------
        self : FeatureScoresDisplay
            With ``bars_``, ``features_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If scores are empty, not 1-D or not finite, if names or values do not match them, or if ``top`` is not
            positive.
        """
        scores = np.asarray(self.feature_scores, dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or np.isinf(scores).any():
            raise ValueError(f"feature_scores must be 1-D, finite and not empty, but have shape {scores.shape}.")
        scores = np.nan_to_num(scores)  # missing values do not contribute
        if not isinstance(top, Integral) or top < 1:
            raise ValueError(f"top={top!r} must be a positive number of features.")
        labels = self._labels(len(scores))
        largest = np.argsort(-np.abs(scores), kind="stable")
        shown = largest[:top]
        self.features_ = shown[np.argsort(-scores[shown], kind="stable")]

        widths, names = scores[self.features_], [labels[feature] for feature in self.features_]
        shade = verdict.colour(self.is_outlier is not False)
        colours = [shade if width > 0 else (shade, _FAINT) for width in widths]
        rest = largest[top:]
        if len(rest):
            widths, colours = np.append(widths, scores[rest].sum()), [*colours, _REST]
            names.append(f"{len(rest)} other feature{'s' if len(rest) > 1 else ''}")
        if ax is None:
            size = (7.0, 0.32 * len(widths) + 1.2)
            _, ax = pyplot("FeatureScoresDisplay").subplots(figsize=size, layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_ = ax.barh(np.arange(len(widths)), widths, **({"color": colours, "height": 0.72} | kwargs))
        self._finish(ax, names, widths)
        return self

    def _labels(self, n_features: int) -> list[str]:
        """Tick labels: feature names with values and expected values."""
        names = [f"x{i}" for i in range(n_features)] if self.feature_names is None else list(self.feature_names)
        values, expected = (
            [None] * n_features if numbers is None else list(numbers) for numbers in (self.values, self.expected)
        )
        if not len(names) == len(values) == len(expected) == n_features:
            raise ValueError(
                f"feature_scores has {n_features} entries, but there are {len(names)} names, {len(values)} values and "
                f"{len(expected)} expected values."
            )
        return [
            f"{name}{_value(value)}{'' if other is None else f', expected {other:.4g}'}"
            for name, value, other in zip(names, values, expected, strict=True)
        ]

    def _finish(self, ax: Any, names: list[str], widths: np.ndarray) -> None:
        ax.set_yticks(np.arange(len(names)), names)
        ax.invert_yaxis()
        tidy(ax, grid="x")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.axvline(0, color="0.15", linewidth=1.0, zorder=3)
        meaning = "left: less outlying, right: more outlying" if (widths < 0).any() else "larger = more outlying"
        ax.set_xlabel(f"Contribution to the outlier score\n({meaning})")
        if self.title is not None:
            shade = None if self.is_outlier is None else verdict.colour(self.is_outlier)
            ax.set_title(self.title, color=shade, loc="left", fontsize="medium", fontweight="bold")


def _value(value: float | None) -> str:
    if value is None:
        return ""
    return " missing" if np.isnan(value) else f" = {value:.4g}"


def _is_single(X: Any) -> bool:
    return len(getattr(X, "shape", None) or np.shape(X)) == 1


def _one_row(X: Any, index: int) -> Any:
    """Return one sample as a 2-D array or DataFrame with one row, so that feature names are preserved."""
    if _is_single(X):
        if index:
            raise IndexError(f"index={index} is out of range: X is a single sample.")
        return X.to_frame().T if hasattr(X, "to_frame") else np.asarray(X)[None]
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if not -n_rows <= index < n_rows:
        raise IndexError(f"index={index} is out of range: X has {n_rows} samples.")
    position = index % n_rows
    return X[position : position + 1]
