"""Samples and their reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder.displays.checks import row_labels
from sk_autoencoder.displays.panels import Layers, Panels, as_pictures, checked, reconstruction
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE


class ReconstructionDisplay:
    """Samples, their reconstructions and, optionally, targets, as images or lines.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Input samples, all of which are drawn. If X is a DataFrame, its index is shown in the titles.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Reconstructions of the samples.
    target : array-like of shape (n_samples, n_features) or None, default=None
        Samples that should be reconstructed, for example the clean samples if X is noisy. None draws no targets.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        Shape of a sample as an image; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : tuple of str, default=("input", "reconstruction", "target")
        Names of input, reconstruction and target in the figure.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Shape (2 or 3, n_samples) for images, (n_samples,) for lines.
    bounding_ax_ : matplotlib Axes or None
        The axes given to :meth:`plot`, which hold the others.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    LatentDisplay : Scatter plot of latent codes.

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
        """Draw the first samples of X and their reconstructions.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with ``reconstruct``, or with ``transform`` and ``inverse_transform``, such as PCA.
        X : array-like of shape (n_samples, n_features)
            Input samples.
        target : array-like of shape (n_samples, n_features) or None, default=None
            Samples that should be reconstructed, for example the clean samples if X is noisy. None draws no targets.
        n_samples : int, default=8
            Number of samples to draw.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            Shape of a sample as an image. None draws lines.
        names : tuple of str, default=("input", "reconstruction", "target")
            Names of input, reconstruction and target in the figure.
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
        reconstructed = reconstruction(estimator, X)
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
            Passed to ``matplotlib.axes.Axes.imshow`` for images, to ``plot`` for lines.

        Returns
        -------
        self : ReconstructionDisplay
            With ``axes_``, ``bounding_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If the arrays are not 2-D, differ in shape, or do not match ``image_shape``.
        """
        layers = [(self.names[0], "X", self.X), (self.names[1], "X_reconstructed", self.X_reconstructed)]
        if self.target is not None:
            layers.append((self.names[2], "target", self.target))
        arrays, labels = checked(layers), row_labels(self.X)
        panels = Panels("ReconstructionDisplay", ax)
        if self.image_shape is None:
            self._lines(panels, arrays, labels, kwargs)
        else:
            arrays = [(name, as_pictures(rows, self.image_shape)) for name, rows in arrays]
            # The colour range is that of the target if there is one, otherwise that of the input.
            reference = arrays[2 if len(arrays) > 2 else 0][1]
            panels.pictures(arrays, reference, kwargs, header=0.25 if labels else 0.0)
            if labels:
                for cell, label in zip(panels.axes[0], labels, strict=True):
                    cell.set_title(label, fontsize="small", color=DATA)
        self.axes_, self.bounding_ax_, self.figure_ = panels.axes, ax, panels.figure
        return self

    def _lines(self, panels: Panels, layers: Layers, labels: list[str] | None, style: dict[str, Any]) -> None:
        """Draw one panel for each sample; the title shows its label and the root mean squared error."""
        looks = [(DATA, "-", 1.4), (LEARNT, "-", 1.8), (REFERENCE, "--", 1.4)]
        panels.lines(layers, looks[: len(layers)], style)
        reference = layers[-1][1] if len(layers) > 2 else layers[0][1]
        squares = np.square(layers[1][1] - reference)
        n_observed = np.maximum((~np.isnan(squares)).sum(axis=1), 1)
        error = np.sqrt(np.nansum(squares, axis=1) / n_observed)
        for sample, cell in enumerate(panels.axes):
            label = "" if labels is None else f"{labels[sample]}: "
            cell.set_title(f"{label}error {error[sample]:.3g}", fontsize="small", color=DATA)
        panels.legend()
