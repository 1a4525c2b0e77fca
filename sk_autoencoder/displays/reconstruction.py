"""Rows beside what the network makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, pyplot, rows_of_numbers, tidy

_LINE_COLUMNS = 4


class ReconstructionDisplay:
    """Rows, their reconstruction and, if given, a target, as pictures or as lines.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows as the network saw them, all of which are drawn.
    X_reconstructed : array-like of shape (n_samples, n_features)
        What it made of them.
    target : array-like of shape (n_samples, n_features) or None, default=None
        What it should have made of them, for example the clean rows when X is noisy.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        How a row is read as a picture; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : tuple of str, default=("input", "reconstruction", "target")
        What the three are called in the figure.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Shape (2 or 3, n_samples) for pictures, (n_samples,) for lines.
    bounding_ax_ : matplotlib Axes or None
        The axes given to :meth:`plot`, which hold the others.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    LatentDisplay : Codes as a map.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer, ReconstructionDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, max_iter=5, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(autoencoder, X, image_shape=(8, 8), n_samples=6)
    >>> display.axes_.shape
    (2, 6)
    """

    axes_: np.ndarray

    def __init__(
        self,
        X: Any,
        X_reconstructed: Any,
        *,
        target: Any = None,
        image_shape: tuple[int, ...] | None = None,
        names: tuple[str, ...] = ("input", "reconstruction", "target"),
    ):
        self.X = X
        self.X_reconstructed = X_reconstructed
        self.target = target
        self.image_shape = image_shape
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        target: Any = None,
        n_samples: int = 8,
        image_shape: tuple[int, ...] | None = None,
        names: tuple[str, ...] = ("input", "reconstruction", "target"),
        ax: Any = None,
        **kwargs: Any,
    ) -> ReconstructionDisplay:
        """Draw the first rows of X beside their reconstruction.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with ``reconstruct``, or with ``transform`` and ``inverse_transform``, as PCA has.
        X : array-like of shape (n_samples, n_features)
            Rows as the network is to see them.
        target : array-like of shape (n_samples, n_features) or None, default=None
            What it should make of them, for example the clean rows when X is noisy.
        n_samples : int, default=8
            How many rows to draw.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            How a row is read as a picture. None draws lines.
        names : tuple of str, default=("input", "reconstruction", "target")
            What the three are called in the figure.
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ReconstructionDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        X = X[:n_samples]
        if hasattr(estimator, "reconstruct"):
            reconstructed = estimator.reconstruct(X)
        else:
            reconstructed = estimator.inverse_transform(estimator.transform(X))
        shown = None if target is None else target[:n_samples]
        display = cls(X, reconstructed, target=shown, image_shape=image_shape, names=names)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> ReconstructionDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for pictures, to ``plot`` for lines.

        Returns
        -------
        self : ReconstructionDisplay
            With ``axes_``, ``bounding_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If rows are not 2-D, differ in shape, or do not fill ``image_shape``.
        """
        layers = [(self.names[0], rows_of_numbers(self.X, "X"))]
        layers.append((self.names[1], rows_of_numbers(self.X_reconstructed, "X_reconstructed")))
        if self.target is not None:
            layers.append((self.names[2], rows_of_numbers(self.target, "target")))
        for name, rows in layers[1:]:
            if rows.shape != layers[0][1].shape:
                raise ValueError(f"The {name} has shape {rows.shape}, but the {layers[0][0]} {layers[0][1].shape}.")
        if not len(layers[0][1]):
            raise ValueError("There are no rows to draw.")
        if self.image_shape is None:
            self._lines(layers, ax, kwargs)
        else:
            self._pictures([(name, _pictures(rows, self.image_shape)) for name, rows in layers], ax, kwargs)
        return self

    def _pictures(self, layers: list[tuple[str, np.ndarray]], ax: Any, style: dict[str, Any]) -> None:
        """One row of pictures a layer; all share the range of the best pictures there are, the target or the input."""
        n_samples = len(layers[0][1])
        height, width = layers[0][1].shape[1:3]
        size = (0.9 * n_samples + 1.2, 0.9 * height / width * len(layers) + 0.1)
        self._grid(len(layers), n_samples, size, ax, hspace=0.04, wspace=0.04)

        reference = layers[2][1] if len(layers) > 2 else layers[0][1]
        low, high = float(reference.min()), float(reference.max())
        style = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"} | style
        for row, (name, pictures) in zip(self.axes_, layers, strict=True):
            if pictures.ndim == 4:  # imshow takes colours from 0 to 1 only
                pictures = np.clip((pictures - low) / ((high - low) or 1.0), 0, 1)
            for cell, picture in zip(row, pictures, strict=True):
                cell.imshow(picture, **style)
                cell.set(xticks=[], yticks=[])
                cell.spines[:].set(color="0.8", linewidth=0.8)
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)

    def _lines(self, layers: list[tuple[str, np.ndarray]], ax: Any, style: dict[str, Any]) -> None:
        """One panel a row, all layers in it, and the error as its title."""
        n_samples, n_features = layers[0][1].shape
        columns = min(_LINE_COLUMNS, n_samples)
        rows = -(-n_samples // columns)
        self._grid(rows, columns, (2.6 * columns + 0.4, 1.9 * rows + 0.5), ax, sharex=True, sharey=True)
        cells = self.axes_.ravel()
        for unused in cells[n_samples:]:
            unused.remove()
        self.axes_ = cells[:n_samples]

        positions = np.arange(n_features)
        looks = [(DATA, "-", 1.4), (LEARNT, "-", 1.8), (REFERENCE, "--", 1.4)]
        reference = layers[-1][1] if len(layers) > 2 else layers[0][1]
        error = np.sqrt(np.mean((layers[1][1] - reference) ** 2, axis=1))
        for sample, cell in enumerate(self.axes_):
            for (name, values), (colour, dashes, width) in zip(layers, looks, strict=False):
                look = {"color": colour, "linestyle": dashes, "linewidth": width, "label": name}
                cell.plot(positions, values[sample], **(look | {"marker": "." if n_features < 20 else None} | style))
            cell.set_title(f"error {error[sample]:.3g}", fontsize="small", color=DATA)
            cell.tick_params(labelsize="small")
            cell.xaxis.get_major_locator().set_params(integer=True)
            tidy(cell, grid="y")
        for cell in self.axes_[-columns:]:
            cell.set_xlabel("Feature")
            cell.tick_params(labelbottom=True)
        handles, names = self.axes_[0].get_legend_handles_labels()
        if ax is None:
            self.figure_.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
        else:  # the space above a subplot is not ours
            self.axes_[0].legend(handles, names, loc="upper right", fontsize="small", framealpha=0.9)

    def _grid(self, rows: int, columns: int, size: tuple[float, float], ax: Any, **options: Any) -> None:
        """Make axes in a new figure, or inside the subplot that was given."""
        shared = {key: options.pop(key) for key in ("sharex", "sharey") if key in options}
        if ax is None:
            self.figure_ = pyplot("ReconstructionDisplay").figure(figsize=size, layout="constrained")
            self.figure_.get_layout_engine().set(**options)
            grid, self.bounding_ax_ = self.figure_.add_gridspec(rows, columns), None
        else:
            place = ax.get_subplotspec()
            if place is None:
                raise ValueError("ReconstructionDisplay draws several panels: ax must be a subplot (plt.subplots).")
            ax.set_axis_off()
            self.figure_, self.bounding_ax_ = ax.figure, ax
            grid = place.subgridspec(rows, columns, **options)
        self.axes_ = grid.subplots(squeeze=False, **shared)


def _pictures(rows: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Reshape rows to (n, height, width), or (n, height, width, 3) for colours."""
    shape = tuple(int(side) for side in image_shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)) or min(shape) < 1:
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width), (1, height, width) or (3, height, width)."
        )
    if np.prod(shape) != rows.shape[1]:
        raise ValueError(f"image_shape={image_shape!r} holds {np.prod(shape)} values, but rows have {rows.shape[1]}.")
    if len(shape) == 3 and shape[0] == 3:
        return rows.reshape(-1, *shape).transpose(0, 2, 3, 1)
    return rows.reshape(-1, *shape[-2:])
