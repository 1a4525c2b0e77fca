"""Scatter plot of latent codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import type_of_target

from sk_autoencoder._labels import missing_labels
from sk_autoencoder.displays.checks import check_transformer, map_names
from sk_autoencoder.displays.style import LEARNT, pyplot, rows_of_numbers, tidy

# Number of colours in matplotlib's "tab20".
_MOST_CLASSES = 20
_UNKNOWN = "0.75"  # grey
_SPREAD = 0.32  # half the height of the strip of a class for 1-D codes


class LatentDisplay:
    """Scatter plot of latent codes, coloured by label.

    Codes with two components are drawn as a scatter plot. Codes with one component are drawn as one strip for each
    class, against continuous labels, or as a histogram if there are no labels. Codes with more components need a
    reducer, see :meth:`from_estimator`.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    codes : array-like of shape (n_samples, 1) or (n_samples, 2)
        Latent codes.
    labels : array-like of shape (n_samples,) or None, default=None
        Labels that determine the colours: classes get a legend, continuous values a colour bar. Samples whose label is
        missing (None, NaN or NA) are grey.
    names : tuple of str, default=("Component 1", "Component 2")
        Labels of the axes.

    Attributes
    ----------
    artists_ : list
        The scatter plots, one for each class, or the bars of the histogram.
    legend_ : matplotlib Legend or None
        The legend of the classes.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of continuous labels.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    ReconstructionDisplay : Samples and their reconstructions.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sk_autoencoder import AutoencoderTransformer, LatentDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, max_iter=5, random_state=0).fit(X)
    >>> display = LatentDisplay.from_estimator(autoencoder, X, y, reducer=PCA(n_components=2))
    >>> display.ax_.get_xlabel()
    'PCA 1'
    >>> [text.get_text() for text in display.legend_.get_texts()][:3]
    ['0', '1', '2']
    """

    def __init__(self, codes: Any, labels: Any = None, *, names: tuple[str, ...] = ("Component 1", "Component 2")):
        self.codes = codes
        self.labels = labels
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, reducer: Any = None, ax: Any = None, **kwargs: Any
    ) -> LatentDisplay:
        """Draw the latent codes of samples; the label of an axis says if its component has collapsed.

        Parameters
        ----------
        estimator : estimator
            Any fitted transformer.
        X : array-like of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or None, default=None
            Labels that determine the colours; None, NaN and NA are missing.
        reducer : transformer or None, default=None
            Reduces codes with more than two components to two, for example ``sklearn.manifold.TSNE()``; a clone of it
            is fitted on the codes.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LatentDisplay
            The drawn display.

        Raises
        ------
        TypeError
            If the estimator has no ``transform``.
        ValueError
            If codes have more than two components and there is no reducer.
        """
        check_transformer("LatentDisplay", estimator, "transform")
        codes, names = np.asarray(estimator.transform(X)), map_names(estimator)
        if reducer is not None:
            codes, name = np.asarray(clone(reducer).fit_transform(codes)), type(reducer).__name__
            names = (f"{name} 1", f"{name} 2")
        return cls(codes, y, names=names).plot(ax=ax, **kwargs)

    def plot(
        self, ax: Any = None, *, cmap: Any = None, legend_title: str | None = None, **kwargs: Any
    ) -> LatentDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        cmap : str, matplotlib Colormap or None, default=None
            Colours of the labels. None is "tab10" for up to 10 classes, "tab20" for up to 20, "turbo" for more, and
            "viridis" for continuous labels.
        legend_title : str or None, default=None
            Title of the legend or the colour bar.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.scatter``, or to ``hist`` for one column without labels.

        Returns
        -------
        self : LatentDisplay
            With ``artists_``, ``legend_``, ``colorbar_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If codes are not 2-D, have more than two components, or do not match the labels.
        """
        codes = rows_of_numbers(self.codes, "codes")
        if not 1 <= codes.shape[1] <= 2:
            raise ValueError(
                f"Codes have {codes.shape[1]} components, but only 1 or 2 can be drawn: pass a reducer to "
                "from_estimator, for example reducer=sklearn.manifold.TSNE(random_state=0), or select two components."
            )
        labels, known = None, np.ones(len(codes), dtype=bool)
        if self.labels is not None:
            labels = np.asarray(self.labels).reshape(-1)
            check_consistent_length(codes, labels)
            known = ~missing_labels(labels)
            labels = labels[known]
            if not len(labels):
                raise ValueError("No sample has a label; use labels=None (y=None).")
            if labels.dtype == object:
                labels = np.array(labels.tolist())
        plt = pyplot("LatentDisplay")
        if ax is None:
            _, ax = plt.subplots(figsize=(6.0, 5.0), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.artists_: list[Any] = []
        self.legend_: Any = None
        self.colorbar_: Any = None
        ax.set_xlabel(self.names[0])
        style = {"s": float(np.clip(20000 / len(codes), 5, 28)), "linewidths": 0, "alpha": 0.75} | kwargs

        unknown, codes = codes[~known], codes[known]
        is_map = codes.shape[1] == 2
        if labels is not None and len(unknown) and (is_map or _are_classes(labels)):  # otherwise, the y-axis has labels
            y = unknown[:, 1] if is_map else _spread(len(unknown)) - 1  # a strip below those of classes
            self._scatter(unknown[:, 0], y, style | {"color": _UNKNOWN, "label": "no label"})
        if labels is None and codes.shape[1] == 1:
            self.artists_ = list(ax.hist(codes[:, 0], **({"bins": "auto", "color": LEARNT} | kwargs))[2])
            ax.set_ylabel("Samples")
        elif labels is None:
            self._scatter(codes[:, 0], codes[:, 1], {"color": LEARNT} | style)
            ax.set_ylabel(self.names[1])
        elif _are_classes(labels):
            self._classes(codes, labels, plt.get_cmap, cmap, legend_title, style)
        else:
            self._values(codes, labels.astype(np.float64), cmap, legend_title, style)
        tidy(ax)
        return self

    def _scatter(self, x: np.ndarray, y: np.ndarray, style: dict[str, Any]) -> Any:
        # Rasterized points keep PDF and SVG files of many samples small.
        self.artists_.append(self.ax_.scatter(x, y, rasterized=len(x) > 2000, **style))
        return self.artists_[-1]

    def _classes(
        self, codes: np.ndarray, labels: np.ndarray, get_cmap: Any, cmap: Any, title: str | None, style: dict[str, Any]
    ) -> None:
        """Draw each class in one colour; 1-D codes as one strip for each class, with evenly spread points."""
        classes = np.unique(labels)
        palette = get_cmap(cmap or ("tab10" if len(classes) <= 10 else "tab20" if len(classes) <= 20 else "turbo"))
        for position, label in enumerate(classes):
            of_class = codes[labels == label]
            listed = cmap is None and len(classes) <= _MOST_CLASSES
            colour = palette(position) if listed else palette(position / max(1, len(classes) - 1))
            y = of_class[:, 1] if codes.shape[1] == 2 else position + _spread(len(of_class))
            self._scatter(of_class[:, 0], y, {"color": [colour], "label": str(label)} | style)
        if codes.shape[1] == 1:
            below = ["no label"] if len(self.artists_) > len(classes) else []
            names = [*below, *(str(label) for label in classes)]
            self.ax_.set_yticks(np.arange(len(classes) + len(below)) - len(below), names)
            self.ax_.set_ylabel(title or "Class")
            return
        self.ax_.set_ylabel(self.names[1])
        if len(classes) <= _MOST_CLASSES:
            place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "borderaxespad": 0.3, "handletextpad": 0.2}
            self.legend_ = self.ax_.legend(title=title, frameon=False, **place)
            for handle in self.legend_.legend_handles:
                handle.set(sizes=[42], alpha=1.0)

    def _values(
        self, codes: np.ndarray, labels: np.ndarray, cmap: Any, title: str | None, style: dict[str, Any]
    ) -> None:
        """Draw continuous labels: as colours with a colour bar for 2-D codes, on the y-axis for 1-D codes."""
        if codes.shape[1] == 1:
            self._scatter(codes[:, 0], labels, {"color": LEARNT} | style)
            self.ax_.set_ylabel(title or "Label")
            return
        points = self._scatter(codes[:, 0], codes[:, 1], {"c": labels, "cmap": cmap or "viridis"} | style)
        self.ax_.set_ylabel(self.names[1])
        self.colorbar_ = self.figure_.colorbar(points, ax=self.ax_, label=title or "", pad=0.02)
        self.colorbar_.outline.set_visible(False)
        self.colorbar_.solids.set_alpha(1.0)


def _are_classes(labels: np.ndarray) -> bool:
    """Whether labels are classes rather than continuous values."""
    if labels.dtype.kind not in "biuf":
        return True
    return type_of_target(labels) in {"binary", "multiclass"} and len(np.unique(labels)) <= _MOST_CLASSES


def _spread(n_rows: int) -> np.ndarray:
    """Deterministic, evenly spread offsets in [-_SPREAD, _SPREAD]: multiples of the golden ratio, modulo 1."""
    return _SPREAD * (2 * np.mod(np.arange(n_rows) * 0.6180339887498949, 1) - 1)
