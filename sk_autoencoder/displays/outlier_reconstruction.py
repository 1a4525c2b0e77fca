"""Samples with the reconstructions and predictions of an outlier detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder.displays import verdict
from sk_autoencoder.displays.checks import lack, row_labels
from sk_autoencoder.displays.panels import Layers, Panels, as_pictures, checked, reconstruction
from sk_autoencoder.displays.style import DATA, LEARNT, OUTLIER


class OutlierReconstructionDisplay:
    """Samples, their reconstructions and differences, with the prediction for each, as images or lines.

    The difference is input minus reconstruction. As an image it is red where the input is larger and blue where it is
    smaller, on the same scale for all samples. Between lines it is a shaded area.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Samples, all of which are drawn. For lines all features should have the same unit, as in a window of a time
        series. If X is a DataFrame, its index is shown in the titles.
    X_reconstructed : array-like of shape (n_samples, n_features)
        Reconstructions of the samples.
    is_outlier : array-like of bool of shape (n_samples,)
        Which samples are predicted to be outliers.
    evidence : list of str of length n_samples or None, default=None
        Text that is added to the title of each sample, for example its p-value. None adds no text.
    image_shape : tuple (height, width) or (channels, height, width) or None, default=None
        Shape of a sample as an image; 1 channel is grey, 3 are red, green and blue. None draws lines.
    names : tuple of str, default=("input", "reconstruction", "difference")
        Names of input, reconstruction and difference in the figure.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Shape (3, n_samples) for images, (n_samples,) for lines.
    bounding_ax_ : matplotlib Axes or None
        The axes given to :meth:`plot`, which hold the others.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    ReconstructionDisplay : The same without predictions, for any autoencoder.
    FeatureScoresDisplay : Contributions of features to the outlier score, also for features in different units.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderOutlierDetector, OutlierReconstructionDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> detector = AutoencoderOutlierDetector(max_iter=5, random_state=0).fit(X[y == 0])
    >>> display = OutlierReconstructionDisplay.from_estimator(detector, X, image_shape=(8, 8), n_samples=6)
    >>> display.axes_.shape
    (3, 6)
    """

    axes_: np.ndarray

    def __init__(
        self,
        X: Any,
        X_reconstructed: Any,
        is_outlier: Any,
        *,
        evidence: Any = None,
        image_shape: tuple[int, ...] | None = None,
        names: tuple[str, ...] = ("input", "reconstruction", "difference"),
    ):
        self.X = X
        self.X_reconstructed = X_reconstructed
        self.is_outlier = is_outlier
        self.evidence = evidence
        self.image_shape = image_shape
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        n_samples: int = 8,
        image_shape: tuple[int, ...] | None = None,
        names: tuple[str, ...] = ("input", "reconstruction", "difference"),
        ax: Any = None,
        **kwargs: Any,
    ) -> OutlierReconstructionDisplay:
        """Draw the first samples of X with their reconstructions and predictions.

        The titles show p-values if the detector has ``p_values``, and outlier scores otherwise.

        Parameters
        ----------
        detector : estimator
            A fitted detector with ``predict``, ``score_samples`` and ``reconstruct``.
        X : array-like of shape (n_samples, n_features)
            Samples.
        n_samples : int, default=8
            Number of samples to draw.
        image_shape : tuple (height, width) or (channels, height, width) or None, default=None
            Shape of a sample as an image. None draws lines.
        names : tuple of str, default=("input", "reconstruction", "difference")
            Names of input, reconstruction and difference in the figure.
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : OutlierReconstructionDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the detector is not fitted.
        ValueError
            If it is not an outlier detector, or cannot reconstruct samples.
        """
        check_is_fitted(detector)
        if not (hasattr(detector, "reconstruct") or hasattr(detector, "inverse_transform")):
            raise ValueError(f"{lack(detector, 'reconstruct')} It is needed to draw reconstructions.")
        X = X[:n_samples]
        is_outlier, evidence = verdict.verdicts(detector, X)
        reconstructed = reconstruction(detector, X)
        display = cls(X, reconstructed, is_outlier, evidence=evidence, image_shape=image_shape, names=names)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> OutlierReconstructionDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            A subplot to draw in. None makes a new figure.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.imshow`` for images of input and reconstruction, to ``plot`` for lines.

        Returns
        -------
        self : OutlierReconstructionDisplay
            With ``axes_``, ``bounding_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If X is not 2-D, or if it does not match the reconstructions, the predictions or ``image_shape``.
        """
        layers = checked([(self.names[0], "X", self.X), (self.names[1], "X_reconstructed", self.X_reconstructed)])
        evidence = [""] * len(layers[0][1]) if self.evidence is None else list(self.evidence)
        check_consistent_length(layers[0][1], self.is_outlier, evidence)
        labels = row_labels(self.X)
        panels = Panels("OutlierReconstructionDisplay", ax)
        if self.image_shape is None:
            self._lines(panels, layers, kwargs)
            firsts, after_label, between = panels.axes, ": ", ", "
        else:
            pictures = [(name, as_pictures(rows, self.image_shape)) for name, rows in layers]
            self._pictures(panels, pictures, 0.6 if labels else 0.45, kwargs)
            firsts, after_label, between = panels.axes[0], "\n", "\n"
        names = [f"{label}{after_label}" for label in labels] if labels else [""] * len(evidence)
        for cell, name, is_outlier, text in zip(firsts, names, self.is_outlier, evidence, strict=True):
            title = name + between.join(filter(None, [verdict.word(is_outlier), text]))
            weight = "bold" if is_outlier else "normal"
            cell.set_title(title, fontsize="small", color=verdict.colour(is_outlier), fontweight=weight)
        self.axes_, self.bounding_ax_, self.figure_ = panels.axes, ax, panels.figure
        return self

    def _pictures(self, panels: Panels, layers: Layers, header: float, style: dict[str, Any]) -> None:
        """Draw input and reconstruction in the range of the input, and the difference with white for 0."""
        panels.pictures(layers, layers[0][1], style, extra_rows=1, header=header)
        difference = layers[0][1] - layers[1][1]
        if difference.ndim == 4:
            difference = difference.mean(axis=-1)
        largest = float(np.nanmax(np.abs(difference))) or 1.0
        panels.picture_row(2, self.names[2], difference, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest})

    def _lines(self, panels: Panels, layers: Layers, style: dict[str, Any]) -> None:
        panels.lines(layers, [(DATA, "-", 1.4), (LEARNT, "-", 1.8)], style)
        for sample, cell in enumerate(panels.axes):
            rows = [values[sample] for _, values in layers]
            shade = {"color": OUTLIER, "alpha": 0.25, "linewidth": 0, "label": self.names[2]}
            cell.fill_between(np.arange(len(rows[0])), *rows, **shade)
        panels.legend()
