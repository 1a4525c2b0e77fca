"""Strips of decoded samples along a path in the latent space, used by two displays."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder.displays.panels import Panels, as_pictures
from sk_autoencoder.displays.style import pyplot

_HEADER = 0.25  # height of the titles above the images, in inches
_MOST_LISTED = 10  # maximum number of entries of a legend


def as_strips(rows: Any, name: str) -> np.ndarray:
    """Convert to a 3-D float array (n_strips, n_steps, n_features) of finite values."""
    strips = np.asarray(rows, dtype=np.float64)
    if strips.ndim != 3 or 0 in strips.shape:
        raise ValueError(f"{name} must be 3-D, (n_strips, n_steps, n_features), but has shape {strips.shape}.")
    if not np.isfinite(strips).all():
        raise ValueError(f"{name} holds NaN or infinity, which cannot be drawn.")
    return strips


def draw_strips(
    caller: str,
    ax: Any,
    strips: np.ndarray,
    names: list[str],
    titles: list[str],
    image_shape: tuple[int, ...] | None,
    style: dict[str, Any],
) -> Panels:
    """Draw each strip as a row of images with the titles of the steps, or as a panel of lines from dark to bright."""
    panels = Panels(caller, ax)
    if image_shape is not None:
        layers = [(name, as_pictures(strip, image_shape)) for name, strip in zip(names, strips, strict=True)]
        panels.pictures(layers, strips, style, header=_HEADER)
        for cell, title in zip(panels.axes[0], titles, strict=True):
            cell.set_title(title, fontsize="small", pad=3)
        return panels

    palette = pyplot(caller).get_cmap("viridis")
    looks = [(palette(share), "-", 1.4) for share in np.linspace(0, 0.9, len(titles))]
    panels.lines(list(zip(titles, strips.swapaxes(0, 1), strict=True)), looks, style)
    for cell, name in zip(panels.axes, names, strict=True):
        cell.set_title(name, fontsize="small")
    if len(titles) <= _MOST_LISTED:
        panels.legend()
    return panels
