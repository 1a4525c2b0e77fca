"""Grids of images or line plots, used by several displays."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder.displays.style import MISSING, pyplot, rows_of_numbers, tidy

_LINE_COLUMNS = 4
_MOST_MARKED = 20  # lines with fewer features have a marker at each feature

Layers = list[tuple[str, np.ndarray]]


def reconstruction(estimator: Any, X: Any) -> Any:
    """Return the reconstruction of samples by an autoencoder, or by a transformer such as PCA."""
    if hasattr(estimator, "reconstruct"):
        return estimator.reconstruct(X)
    return estimator.inverse_transform(estimator.transform(X))


def checked(layers: list[tuple[str, str, Any]]) -> Layers:
    """Convert tuples (name in the figure, name of the argument, samples) to named arrays of the same shape."""
    arrays = [(name, rows_of_numbers(rows, argument, missing=True)) for name, argument, rows in layers]
    first, shape = arrays[0][0], arrays[0][1].shape
    for name, rows in arrays[1:]:
        if rows.shape != shape:
            raise ValueError(f"The {name} has shape {rows.shape}, but the {first} has shape {shape}.")
    if not shape[0]:
        raise ValueError("There are no samples to draw.")
    return arrays


def as_pictures(rows: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """Reshape samples to images (n, height, width), or (n, height, width, 3) with colours."""
    shape = tuple(int(side) for side in image_shape)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)) or min(shape) < 1:
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width), (1, height, width) or (3, height, width)."
        )
    if np.prod(shape) != rows.shape[1]:
        raise ValueError(
            f"image_shape={image_shape!r} holds {np.prod(shape)} values, but samples have {rows.shape[1]} features."
        )
    if len(shape) == 3 and shape[0] == 3:
        return rows.reshape(-1, *shape).transpose(0, 2, 3, 1)
    return rows.reshape(-1, *shape[-2:])


class Panels:
    """Grid of axes in a new figure, or within the given subplot; ``caller`` is the display named in errors."""

    def __init__(self, caller: str, ax: Any):
        self.caller = caller
        self.bounding_ax = ax
        self.figure: Any = None
        self.axes: np.ndarray = np.empty((0, 0), dtype=object)

    def pictures(
        self, layers: Layers, reference: np.ndarray, style: dict[str, Any], *, extra_rows: int = 0, header: float = 0.0
    ) -> None:
        """Draw one row of images for each layer, with the colour range of ``reference``. Missing values are pink.

        ``extra_rows`` is the number of empty rows at the bottom, ``header`` the height of the titles in inches.
        """
        n_rows = len(layers) + extra_rows
        n_samples, height, width = layers[0][1].shape[:3]
        size = (0.9 * n_samples + 1.2, 0.9 * height / width * n_rows + 0.1 + header)
        self._grid(n_rows, n_samples, size, hspace=0.04, wspace=0.04)
        low, high = (float(extreme(reference)) for extreme in (np.nanmin, np.nanmax))
        grays = pyplot(self.caller).get_cmap("gray").with_extremes(bad=MISSING)
        for row, (name, pictures) in enumerate(layers):
            if pictures.ndim == 4:  # imshow needs colours in [0, 1]
                pictures = np.clip((np.nan_to_num(pictures, nan=low) - low) / ((high - low) or 1.0), 0, 1)
            self.picture_row(row, name, pictures, {"cmap": grays, "vmin": low, "vmax": high} | style)

    def picture_row(self, row: int, name: str, pictures: np.ndarray, style: dict[str, Any]) -> None:
        """Draw images in one row of the grid."""
        for cell, picture in zip(self.axes[row], pictures, strict=True):
            cell.imshow(picture, **({"interpolation": "nearest"} | style))
            cell.set(xticks=[], yticks=[])
            cell.spines[:].set(color="0.8", linewidth=0.8)
        self.axes[row, 0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)

    def lines(self, layers: Layers, looks: list[tuple[str, str, float]], style: dict[str, Any]) -> None:
        """Draw one panel for each sample, with a line for each layer."""
        n_samples, n_features = layers[0][1].shape
        columns = min(_LINE_COLUMNS, n_samples)
        rows = -(-n_samples // columns)
        self._grid(rows, columns, (2.6 * columns + 0.4, 1.9 * rows + 0.5), sharex=True, sharey=True)
        cells = self.axes.ravel()
        for unused in cells[n_samples:]:
            unused.remove()
        self.axes = cells[:n_samples]

        positions = np.arange(n_features)
        for sample, cell in enumerate(self.axes):
            for (name, values), (colour, dashes, width) in zip(layers, looks, strict=True):
                look = {"color": colour, "linestyle": dashes, "linewidth": width, "label": name}
                look["marker"] = "." if n_features < _MOST_MARKED else None
                cell.plot(positions, values[sample], **(look | style))
            cell.tick_params(labelsize="small")
            cell.xaxis.get_major_locator().set_params(integer=True)
            tidy(cell, grid="y")
        for cell in self.axes[-columns:]:
            cell.set_xlabel("Feature")
            cell.tick_params(labelbottom=True)

    def legend(self) -> None:
        """Draw one legend: above all panels, or within the first panel if they are in a given subplot."""
        handles, names = self.axes[0].get_legend_handles_labels()
        if self.bounding_ax is None:
            self.figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
        else:  # the space above the given subplot may be in use
            self.axes[0].legend(handles, names, loc="upper right", fontsize="small", framealpha=0.9)

    def _grid(self, rows: int, columns: int, size: tuple[float, float], **options: Any) -> None:
        shared = {key: options.pop(key) for key in ("sharex", "sharey") if key in options}
        if self.bounding_ax is None:
            self.figure = pyplot(self.caller).figure(figsize=size, layout="constrained")
            self.figure.get_layout_engine().set(**options)
            grid = self.figure.add_gridspec(rows, columns)
        else:
            place = self.bounding_ax.get_subplotspec()
            if place is None:
                raise ValueError(f"{self.caller} draws several panels: ax must be a subplot (plt.subplots).")
            self.bounding_ax.set_axis_off()
            self.figure = self.bounding_ax.figure
            grid = place.subgridspec(rows, columns, **options)
        self.axes = grid.subplots(squeeze=False, **shared)
