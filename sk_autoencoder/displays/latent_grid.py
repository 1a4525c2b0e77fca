"""Decoded samples on a grid over a two-dimensional latent space."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from sk_autoencoder.displays.checks import check_transformer, map_names
from sk_autoencoder.displays.panels import as_pictures
from sk_autoencoder.displays.style import LEARNT, pyplot, rows_of_numbers

_EDGE = 0.02  # the grid extends from this quantile to 1 minus it
_MARGIN = 0.1  # margin around a line, as a fraction of its cell of the grid
_MOST_TICKS = 8


class LatentGridDisplay:
    """Decoded samples on a grid over a two-dimensional latent space.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    rows : array-like of shape (n_y * n_x, n_features)
        Decoded samples of all grid points. The first coordinate changes fastest, and both are in ascending order.
    x : array-like of shape (n_x,)
        First coordinates of the grid points.
    y : array-like of shape (n_y,)
        Second coordinates of the grid points.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        Shape of a sample as an image; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : tuple of str, default=("Component 1", "Component 2")
        Labels of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    LatentDisplay : Latent codes of samples.
    TraversalDisplay : Effect of one component of a latent code of any dimension.

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
        """Decode a grid over the latent space; the label of an axis says if its component has collapsed.

        Parameters
        ----------
        estimator : estimator
            Any fitted transformer with two components and ``inverse_transform``.
        X : array-like of shape (n_samples, n_features) or None, default=None
            Samples whose latent codes define the grid: quantiles of each component at equal steps of probability. None
            uses quantiles of the standard normal distribution, which suit a variational objective.
        n_steps : int, default=15
            Number of grid points in each direction.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            Shape of a sample as an image. None draws lines.
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
            raise ValueError(
                f"LatentGridDisplay needs codes with 2 components, but these have {width}: use TraversalDisplay."
            )
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # x changes fastest
        rows, names = estimator.inverse_transform(grid), map_names(estimator)
        return cls(rows, x, y, image_shape=image_shape, names=names).plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> LatentGridDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for images, to ``plot`` for lines.

        Returns
        -------
        self : LatentGridDisplay
            With ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If the number of decoded samples is not that of the grid points, or they do not match ``image_shape``.
        """
        rows = rows_of_numbers(self.rows, "rows")
        x, y = (np.asarray(side, dtype=np.float64).reshape(-1) for side in (self.x, self.y))
        if len(rows) != len(x) * len(y):
            raise ValueError(
                f"A grid of {len(y)} x {len(x)} points needs {len(x) * len(y)} decoded samples, but rows has "
                f"{len(rows)}."
            )
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
        """Draw all samples as one image, with the second coordinate increasing upwards and cells of size 1 x 1."""
        height, width = pictures.shape[1:3]
        cells = pictures.reshape(n_y, n_x, *pictures.shape[1:])[::-1]
        mosaic = cells.swapaxes(1, 2).reshape(n_y * height, n_x * width, *pictures.shape[3:])
        low, high = float(mosaic.min()), float(mosaic.max())
        if mosaic.ndim == 3:  # imshow needs colours in [0, 1]
            mosaic = (mosaic - low) / ((high - low) or 1.0)
        look = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"}
        place = {"extent": (0, n_x, 0, n_y), "aspect": height / width}
        self.ax_.imshow(mosaic, **(look | place | style))
        border = {"colors": "white", "linewidth": 0.6}
        self.ax_.vlines(np.arange(1, n_x), 0, n_y, **border)
        self.ax_.hlines(np.arange(1, n_y), 0, n_x, **border)

    def _lines(self, rows: np.ndarray, n_x: int, n_y: int, style: dict[str, Any]) -> None:
        """Draw a line in each cell of the grid, all on the same scale."""
        low, high = rows.min(), rows.max()
        heights = _MARGIN + (1 - 2 * _MARGIN) * (rows - low) / ((high - low) or 1.0)
        along = np.linspace(_MARGIN, 1 - _MARGIN, rows.shape[1])
        for place, line in enumerate(heights):
            up, right = divmod(place, n_x)
            self.ax_.plot(right + along, up + line, **({"color": LEARNT, "linewidth": 1.2} | style))
        self.ax_.set(xlim=(0, n_x), ylim=(0, n_y))
