"""What makes one sample strange."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder.displays import verdict
from sk_autoencoder.displays.checks import row_labels
from sk_autoencoder.displays.style import pyplot, tidy

_REST = "0.75"
_FAINT = 0.4  # opacity of bars that point to the left


class FeatureScoresDisplay:
    """Bars of what the top features add to the outlier score of a sample.

    The features with the largest shares by magnitude are drawn, the largest share on top, in the colour of the verdict:
    red for an outlier, blue for a normal sample. A share below zero, which a Mahalanobis score can give, makes the
    sample less strange and points to the left in a lighter shade. A grey bar adds up the features that are not shown.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    feature_scores : array-like of shape (n_features,)
        What each feature adds, larger for stranger features.
    values : array-like of shape (n_features,) or None, default=None
        The row, written behind the names. None writes names only.
    expected : array-like of shape (n_features,) or None, default=None
        What the detector expected instead, its reconstruction, written behind the values.
    feature_names : array-like of str of shape (n_features,) or None, default=None
        What the features are called. None calls them x0, x1 and so on.
    title : str or None, default=None
        What is said of the row.
    is_outlier : bool or None, default=None
        The verdict, which colours title and bars. None colours bars as those of an outlier.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars, from top to bottom.
    features_ : ndarray of int
        Positions of the features shown, from top to bottom.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    OutlierScoreDisplay : The scores of many rows.
    OutlierReconstructionDisplay : Rows, what the network expected instead, and the verdict.

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
        """Draw the shares of one row's features.

        Parameters
        ----------
        detector : estimator
            A fitted detector with ``feature_scores``.
        X : array-like of shape (n_samples, n_features) or (n_features,)
            Rows, or a single row.
        index : int, default=0
            Position of the row; negative positions count from the end. The title names a row of a DataFrame by its
            label.
        top : int, default=10
            How many features to show.
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
            If there is no such row.
        """
        check_is_fitted(detector)
        if not hasattr(detector, "feature_scores"):
            score = getattr(detector, "outlier_score", None)
            cause = "" if score is None else f": outlier_score={score!r} cannot be shared among features"
            raise ValueError(
                f"{type(detector).__name__} has no feature_scores{cause}. AutoencoderOutlierDetector has them with "
                "outlier_score='combined', 'reconstruction' or 'mahalanobis'."
            )
        row = _one_row(X, index)
        is_outlier, evidence = verdict.verdicts(detector, row)
        name = "" if _is_single(X) else f"{(row_labels(row) or [f'row {index}'])[0]}: "
        display = cls(
            detector.feature_scores(row)[0],
            values=np.asarray(row)[0],
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
            How many features to show.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.barh``.

        Returns
        -------
        self : FeatureScoresDisplay
            With ``bars_``, ``features_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If scores are not 1-D and finite, names or values do not match them, or ``top`` is not positive.
        """
        scores = np.asarray(self.feature_scores, dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise ValueError(f"feature_scores must be 1-D, finite and at least one, but have shape {scores.shape}.")
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
        """Names, with values and expected values behind them."""
        names = [f"x{i}" for i in range(n_features)] if self.feature_names is None else list(self.feature_names)
        values, expected = (
            [None] * n_features if given is None else list(given) for given in (self.values, self.expected)
        )
        if not len(names) == len(values) == len(expected) == n_features:
            raise ValueError(
                f"{n_features} feature scores have {len(names)} names, {len(values)} values and {len(expected)} "
                "expected values."
            )
        return [
            f"{name}{'' if value is None else f' = {value:.4g}'}{'' if other is None else f', expected {other:.4g}'}"
            for name, value, other in zip(names, values, expected, strict=True)
        ]

    def _finish(self, ax: Any, names: list[str], widths: np.ndarray) -> None:
        ax.set_yticks(np.arange(len(names)), names)
        ax.invert_yaxis()
        tidy(ax, grid="x")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.axvline(0, color="0.15", linewidth=1.0, zorder=3)
        meaning = "left: less strange, right: stranger" if (widths < 0).any() else "larger = stranger"
        ax.set_xlabel(f"Share of the outlier score ({meaning})")
        if self.title is not None:
            shade = None if self.is_outlier is None else verdict.colour(self.is_outlier)
            ax.set_title(self.title, color=shade, loc="left", fontsize="medium", fontweight="bold")


def _is_single(X: Any) -> bool:
    return len(getattr(X, "shape", None) or np.shape(X)) == 1


def _one_row(X: Any, index: int) -> Any:
    """Return one row as a table of its own kind, so that column names survive."""
    if _is_single(X):
        if index:
            raise IndexError(f"There is no row {index} in a single row.")
        return X.to_frame().T if hasattr(X, "to_frame") else np.asarray(X)[None]
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if not -n_rows <= index < n_rows:
        raise IndexError(f"There is no row {index} among {n_rows}.")
    position = index % n_rows
    return X[position : position + 1]
