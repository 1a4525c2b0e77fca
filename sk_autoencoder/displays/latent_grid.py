"""A two-dimensional code as a map of the rows that it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from sk_autoencoder.displays.checks import check_transformer, map_names
from sk_autoencoder.displays.panels import as_pictures
from sk_autoencoder.displays.style import LEARNT, pyplot, rows_of_numbers

_EDGE = 0.02  # the first and the last quantile stand so far from 0 and 1
_MARGIN = 0.1  # of a cell, around a line
_MOST_TICKS = 8


class LatentGridDisplay:
    """Rows decoded on a grid over a two-dimensional code, each drawn in its place.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    rows : array-like of shape (n_y * n_x, n_features)
        Decoded rows, line by line from the smallest second coordinate to the largest.
    x : array-like of shape (n_x,)
        First coordinates of the grid.
    y : array-like of shape (n_y,)
        Second coordinates.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        How a row is read as a picture; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : tuple of str, default=("Component 1", "Component 2")
        What the axes are called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    LatentDisplay : Where rows lie on this map.
    TraversalDisplay : One coordinate of a wider code.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer, LatentGridDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, objective="variational", max_iter=5, random_state=0).fit(X)
    >>> display = LatentGridDisplay.from_estimator(autoencoder, n_steps=10, image_shape=(8, 8))
    >>> len(display.rows)
    100
    """

    def __init__(
        self,
        rows: Any,
        x: Any,
        y: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        names: tuple[str, ...] = ("Component 1", "Component 2"),
    ):
        self.rows = rows
        self.x = x
        self.y = y
        self.image_shape = image_shape
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        n_steps: int = 15,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> LatentGridDisplay:
        """Decode a grid over the codes of a fitted transformer; an axis says if its component has collapsed.

        Parameters
        ----------
        estimator : estimator
            Any fitted transformer with two components and ``inverse_transform``.
        X : array-like of shape (n_samples, n_features) or None, default=None
            Rows whose codes say where the grid lies: at equal quantiles of each coordinate. None takes quantiles of the
            standard normal, which suit a variational objective.
        n_steps : int, default=15
            Length of each side of the grid.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            How a row is read as a picture. None draws lines.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LatentGridDisplay
            The drawn display.

        Raises
        ------
        TypeError
            If the estimator has no ``transform`` or ``inverse_transform``.
        ValueError
            If codes do not have two components.
        """
        check_transformer("LatentGridDisplay", estimator, "transform", "inverse_transform")
        shares = np.linspace(_EDGE, 1 - _EDGE, n_steps)
        if X is None:
            x = y = ndtri(shares)
            width = getattr(estimator, "n_components_", 2)
        else:
            codes = np.asarray(estimator.transform(X))
            width = codes.shape[1]
            x, y = np.quantile(codes, shares, axis=0)[:, [0, -1]].T
        if width != 2:
            raise ValueError(f"A grid shows codes of 2 components, but these have {width}: use TraversalDisplay.")
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # x runs first
        rows, names = estimator.inverse_transform(grid), map_names(estimator)
        return cls(rows, x, y, image_shape=image_shape, names=names).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> LatentGridDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for pictures, to ``plot`` for lines.

        Returns
        -------
        self : LatentGridDisplay
            With ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If there is not one row for each point of the grid, or rows do not fill ``image_shape``.
        """
        rows = rows_of_numbers(self.rows, "rows")
        x, y = (np.asarray(side, dtype=np.float64).reshape(-1) for side in (self.x, self.y))
        if len(rows) != len(x) * len(y):
            raise ValueError(f"A grid of {len(y)} x {len(x)} points needs {len(x) * len(y)} rows, but has {len(rows)}.")
        pictures = None if self.image_shape is None else as_pictures(rows, self.image_shape)
        if ax is None:
            _, ax = pyplot("LatentGridDisplay").subplots(figsize=(6.4, 6.4), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        if pictures is None:
            self._lines(rows, len(x), len(y), kwargs)
        else:
            self._mosaic(pictures, len(x), len(y), kwargs)
        for axis, values in ((ax.xaxis, x), (ax.yaxis, y)):
            shown = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_TICKS)).round().astype(int))
            axis.set_ticks(shown + 0.5, [f"{values[place]:.2g}" for place in shown])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        return self

    def _mosaic(self, pictures: np.ndarray, n_x: int, n_y: int, style: dict[str, Any]) -> None:
        """One picture of all, in which the second coordinate grows upwards; a cell of the grid is a unit square."""
        height, width = pictures.shape[1:3]
        cells = pictures.reshape(n_y, n_x, *pictures.shape[1:])[::-1]
        mosaic = cells.swapaxes(1, 2).reshape(n_y * height, n_x * width, *pictures.shape[3:])
        low, high = float(mosaic.min()), float(mosaic.max())
        if mosaic.ndim == 3:  # imshow takes colours from 0 to 1 only
            mosaic = (mosaic - low) / ((high - low) or 1.0)
        look = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"}
        place = {"extent": (0, n_x, 0, n_y), "aspect": height / width}
        self.ax_.imshow(mosaic, **(look | place | style))
        border = {"colors": "white", "linewidth": 0.6}
        self.ax_.vlines(np.arange(1, n_x), 0, n_y, **border)
        self.ax_.hlines(np.arange(1, n_y), 0, n_x, **border)

    def _lines(self, rows: np.ndarray, n_x: int, n_y: int, style: dict[str, Any]) -> None:
        """A line in each cell, all on one scale."""
        low, high = rows.min(), rows.max()
        heights = _MARGIN + (1 - 2 * _MARGIN) * (rows - low) / ((high - low) or 1.0)
        along = np.linspace(_MARGIN, 1 - _MARGIN, rows.shape[1])
        for place, line in enumerate(heights):
            up, right = divmod(place, n_x)
            self.ax_.plot(right + along, up + line, **({"color": LEARNT, "linewidth": 1.2} | style))
        self.ax_.set(xlim=(0, n_x), ylim=(0, n_y))
