"""Decoded samples along one component of the latent code."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sk_autoencoder.displays.checks import active_first, check_transformer, has_collapsed, row_labels
from sk_autoencoder.displays.strips import as_strips, draw_strips

_QUANTILES = (0.02, 0.98)


class TraversalDisplay:
    """Decoded samples while one component of their latent codes changes and the others are fixed.

    Each sample is drawn as a row of images or, without ``image_shape``, as a panel of lines with colours from dark to
    bright.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    rows : array-like of shape (n_samples, n_steps, n_features)
        Decoded samples.
    values : array-like of shape (n_steps,)
        Value of the component in each step.
    component : int, default=0
        Index of the component, a column of the output of ``transform``.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        Shape of a sample as an image; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : list of str of length n_samples or None, default=None
        Names of the samples. None names them "sample 0", "sample 1" and so on.
    collapsed : bool, default=False
        Whether to label the component as collapsed: not used by the decoder.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Shape (n_samples, n_steps) for images, (n_samples,) for lines.
    bounding_ax_ : matplotlib Axes or None
        The axes given to :meth:`plot`, which hold the others.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    LatentGridDisplay : Decoded samples on a grid over a two-dimensional latent space.
    InterpolationDisplay : Decoded interpolation between samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer, TraversalDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(4, objective="variational", max_iter=5, random_state=0).fit(X)
    >>> display = TraversalDisplay.from_estimator(autoencoder, X, component=2, n_samples=3, image_shape=(8, 8))
    >>> display.axes_.shape
    (3, 9)
    """

    axes_: np.ndarray

    def __init__(
        self,
        rows: Any,
        values: Any,
        *,
        component: int = 0,
        image_shape: tuple[int, ...] | None = None,
        names: list[str] | None = None,
        collapsed: bool = False,
    ):
        self.rows = rows
        self.values = values
        self.component = component
        self.image_shape = image_shape
        self.names = names
        self.collapsed = collapsed

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        component: int | None = None,
        n_samples: int = 4,
        n_steps: int = 9,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> TraversalDisplay:
        """Vary one component of the latent codes of the first samples of X.

        Parameters
        ----------
        estimator : estimator
            Any fitted transformer with ``inverse_transform``.
        X : array-like of shape (n_samples, n_features)
            Samples. The component varies from the 2 % to the 98 % quantile of their latent codes.
        component : int or None, default=None
            Index of the component. None is the most active one, the first of ``active_components_``, or 0 if the
            estimator has no such attribute. A component that is not among them is labelled as collapsed.
        n_samples : int, default=4
            Number of samples to draw.
        n_steps : int, default=9
            Number of equally spaced values of the component.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            Shape of a sample as an image. None draws lines.
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TraversalDisplay
            The drawn display.

        Raises
        ------
        TypeError
            If the estimator has no ``transform`` or ``inverse_transform``.
        ValueError
            If there is no such component.
        """
        check_transformer("TraversalDisplay", estimator, "transform", "inverse_transform")
        codes = np.asarray(estimator.transform(X))
        component = active_first(estimator) if component is None else component
        if not 0 <= component < codes.shape[1]:
            raise ValueError(f"component={component} is out of range: the codes have {codes.shape[1]} components.")
        low, high = np.quantile(codes[:, component], _QUANTILES)
        values = np.linspace(low, high, n_steps)
        moved = np.repeat(codes[:n_samples, None], n_steps, axis=1)  # (n_samples, n_steps, n_components)
        moved[:, :, component] = values
        decoded = np.asarray(estimator.inverse_transform(moved.reshape(-1, codes.shape[1])))
        rows = decoded.reshape(*moved.shape[:2], -1)
        names = row_labels(X[:n_samples])
        collapsed = has_collapsed(estimator, component)
        display = cls(rows, values, component=component, image_shape=image_shape, names=names, collapsed=collapsed)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> TraversalDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for images, to ``plot`` for lines.

        Returns
        -------
        self : TraversalDisplay
            With ``axes_``, ``bounding_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If ``rows`` is not 3-D, or does not match the values or ``image_shape``.
        """
        strips = as_strips(self.rows, "rows")
        values = np.asarray(self.values, dtype=np.float64)
        if values.shape != strips.shape[1:2]:
            raise ValueError(f"rows has {strips.shape[1]} steps, but values has shape {values.shape}.")
        titles = [f"{value:.2g}" for value in values]
        titles[0] = f"$z_{{{self.component}}}$ = {titles[0]}"
        names = [f"sample {index}" for index in range(len(strips))] if self.names is None else self.names
        check_consistent_length(strips, names)
        names = [f"{name}\n$z_{{{self.component}}}$ collapsed" for name in names] if self.collapsed else names
        panels = draw_strips("TraversalDisplay", ax, strips, names, titles, self.image_shape, kwargs)
        self.axes_, self.bounding_ax_, self.figure_ = panels.axes, ax, panels.figure
        return self
