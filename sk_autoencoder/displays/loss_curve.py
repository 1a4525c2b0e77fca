"""Plot of training and validation loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sk_autoencoder.displays.checks import lack
from sk_autoencoder.displays.style import DATA, LEARNT, REFERENCE, pyplot, tidy

# A logarithmic axis over a smaller ratio of its ends has too few tick labels.
_SMALLEST_RATIO = 10


class LossCurveDisplay:
    """Training and validation loss of each epoch, with a mark at the best epoch.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Training loss of each epoch.
    validation_loss_curve : array-like of shape (n_epochs,) or None, default=None
        Validation loss of each epoch. None or an empty sequence draws no validation curve.
    best_epoch : int or None, default=None
        The epoch to mark, counted from 1. None draws no mark.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The training curve and, if there is one, the validation curve.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure they belong to.

    See Also
    --------
    ReconstructionDisplay : Samples and their reconstructions.
    LatentDisplay : Scatter plot of latent codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sk_autoencoder import AutoencoderTransformer, LossCurveDisplay
    >>> X, _ = load_digits(return_X_y=True)
    >>> autoencoder = AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X[:1500], X_val=X[1500:])
    >>> display = LossCurveDisplay.from_estimator(autoencoder)
    >>> display.ax_.get_xlabel()
    'Epoch'
    >>> len(display.lines_)
    2
    """

    def __init__(self, loss_curve: Any, validation_loss_curve: Any = None, *, best_epoch: int | None = None):
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> LossCurveDisplay:
        """Draw the curves of a fitted estimator.

        The marked epoch is that of the lowest validation loss or, without validation samples, of the lowest training
        loss.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with ``loss_curve_`` and, optionally, ``validation_loss_curve_``.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no ``loss_curve_``.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(lack(estimator, "loss_curve_"))
        validation = list(getattr(estimator, "validation_loss_curve_", None) or [])
        watched = validation or list(estimator.loss_curve_)
        display = cls(estimator.loss_curve_, validation, best_epoch=int(np.argmin(watched)) + 1 if watched else None)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, *, yscale: str = "auto", **kwargs: Any) -> LossCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes a new figure.
        yscale : {"auto", "log", "linear"}, default="auto"
            Scale of the y-axis. "auto" is "log" if all losses are positive and the largest is at least ten times the
            smallest.
        **kwargs : dict
            Passed to ``matplotlib.axes.Axes.plot`` for both curves.

        Returns
        -------
        self : LossCurveDisplay
            With ``lines_``, ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If a curve is empty or not 1-D, or if the best epoch lies outside it.
        """
        train = _curve(self.loss_curve, "loss_curve")
        curves = [("training", LEARNT, train)]
        if self.validation_loss_curve is not None and len(self.validation_loss_curve):
            curves.append(("validation", REFERENCE, _curve(self.validation_loss_curve, "validation_loss_curve")))
        watched = curves[-1][2]
        if self.best_epoch is not None and not 1 <= self.best_epoch <= len(watched):
            raise ValueError(f"best_epoch={self.best_epoch} lies outside the {len(watched)} epochs of the curve.")
        if yscale == "auto":
            low, high = (extreme(extreme(losses) for _, _, losses in curves) for extreme in (min, max))
            yscale = "log" if 0 < _SMALLEST_RATIO * low <= high else "linear"

        if ax is None:
            _, ax = pyplot("LossCurveDisplay").subplots(figsize=(6.4, 4.0), layout="constrained")
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, []
        for name, colour, losses in curves:
            style = {"label": name, "color": colour, "linewidth": 1.8, "marker": "o" if len(losses) == 1 else None}
            self.lines_ += ax.plot(np.arange(1, len(losses) + 1), losses, **(style | kwargs))
        if self.best_epoch is not None:
            self._mark(watched[self.best_epoch - 1])
        ax.set(xlabel="Epoch", ylabel="Loss (mean over samples and features)", yscale=yscale)
        ax.xaxis.get_major_locator().set_params(integer=True)
        tidy(ax, grid="y")
        ax.legend(frameon=False)
        return self

    def _mark(self, loss: float) -> None:
        label = f"best epoch: {self.best_epoch} ({loss:.3g})"
        self.ax_.axvline(self.best_epoch, color=DATA, linewidth=1.0, linestyle=":", zorder=1)
        colour = self.lines_[-1].get_color()
        point = {"marker": "o", "markersize": 7, "markerfacecolor": "white", "markeredgecolor": colour}
        self.ax_.plot(self.best_epoch, loss, linestyle="none", markeredgewidth=1.8, label=label, zorder=3, **point)


def _curve(losses: Any, name: str) -> np.ndarray:
    curve = np.asarray(losses, dtype=np.float64)
    if curve.ndim != 1 or not len(curve):
        raise ValueError(f"{name} must be a 1-D sequence of at least one loss, but has shape {curve.shape}.")
    return curve
