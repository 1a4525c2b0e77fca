"""Decoded interpolation between two samples in the latent space."""

from __future__ import annotations

from typing import Any

import numpy as np

from sk_autoencoder.displays.checks import check_transformer, row_labels
from sk_autoencoder.displays.strips import as_strips, draw_strips
from sk_autoencoder.displays.style import rows_of_numbers


class InterpolationDisplay:
    """Decoded linear interpolation between the latent codes of pairs of samples.

    Each pair is drawn as a row of images, with the two samples at its ends, or, without ``image_shape``, as a panel
    of lines with colours from dark to bright.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    rows : array-like of shape (n_pairs, n_steps, n_features)
        Decoded samples from the first end to the second.
    ends : tuple of two array-like of shape (n_pairs, n_features) or None, default=None
        The samples whose latent codes are the ends of the interpolation. They are drawn beside the decoded samples if
        there is an ``image_shape``, and give names to the panels if they are DataFrames.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        Shape of a sample as an image; 1 channel is grey, 3 are red, green and blue. None draws lines.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Shape (n_pairs, n_steps) for images, with two more columns for ``ends``; (n_pairs,) for lines.
    bounding_ax_ : matplotlib Axes or None
        The axes given to :meth:`plot`, which hold the others.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    TraversalDisplay : Effect of one component of the latent code.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer, InterpolationDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(8, max_iter=5, random_state=0).fit(X)
    >>> display = InterpolationDisplay.from_estimator(autoencoder, X[:3], X[3:6], n_steps=6, image_shape=(8, 8))
    >>> display.axes_.shape
    (3, 8)
    """

    axes_: np.ndarray

    def __init__(self, rows: Any, *, ends: tuple[Any, Any] | None = None, image_shape: tuple[int, ...] | None = None):
        self.rows = rows
        self.ends = ends
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        a: Any,
        b: Any,
        *,
        n_steps: int = 8,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> InterpolationDisplay:
        """Interpolate from each sample of ``a`` to the corresponding sample of ``b``, as ``interpolate`` does for one.

        Parameters
        ----------
        estimator : estimator
            Any fitted transformer with ``inverse_transform``, such as an autoencoder or PCA.
        a, b : array-like of shape (n_pairs, n_features)
            The samples at the two ends.
        n_steps : int, default=8
            Number of decoded samples for each pair, including the ends.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            Shape of a sample as an image. None draws lines.
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : InterpolationDisplay
            The drawn display.

        Raises
        ------
        TypeError
            If the estimator has no ``transform`` or ``inverse_transform``.
        ValueError
            If ``a`` and ``b`` differ in length.
        """
        check_transformer("InterpolationDisplay", estimator, "transform", "inverse_transform")
        first, last = (np.asarray(estimator.transform(rows)) for rows in (a, b))
        if len(first) != len(last):
            raise ValueError(f"a and b must have equal lengths, but a has {len(first)} samples and b has {len(last)}.")
        codes = np.linspace(first, last, n_steps, axis=1)  # (n_pairs, n_steps, n_components)
        rows = np.asarray(estimator.inverse_transform(codes.reshape(-1, codes.shape[2])))
        display = cls(rows.reshape(*codes.shape[:2], -1), ends=(a, b), image_shape=image_shape)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> InterpolationDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for images, to ``plot`` for lines.

        Returns
        -------
        self : InterpolationDisplay
            With ``axes_``, ``bounding_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If ``rows`` is not 3-D, or does not match the ends or ``image_shape``.
        """
        strips = as_strips(self.rows, "rows")
        titles = [f"{share:.0%}" for share in np.linspace(0, 1, strips.shape[1])]
        if self.ends is not None and self.image_shape is not None:
            first, last = (rows_of_numbers(rows, "ends")[:, None] for rows in self.ends)
            if not (first.shape[::2] == last.shape[::2] == strips.shape[::2]):
                shapes = f"{first.shape[::2]} and {last.shape[::2]}"
                raise ValueError(f"ends of shapes {shapes} do not match rows of shape {strips.shape}.")
            strips, titles = np.concatenate([first, strips, last], axis=1), ["from", *titles, "to"]
        names = [f"pair {pair}" for pair in range(len(strips))]
        labels = [row_labels(rows) for rows in self.ends or ()]
        if all(labels) and labels:
            names = [f"{first}\nto {last}" for first, last in zip(*labels, strict=True)]
        panels = draw_strips("InterpolationDisplay", ax, strips, names, titles, self.image_shape, kwargs)
        self.axes_, self.bounding_ax_, self.figure_ = panels.axes, ax, panels.figure
        return self
