"""Scores of the size of the residual: target minus reconstruction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from torch import Tensor

from sk_autoencoder._validation import StrOptions, integers
from sk_autoencoder.blocks import padded, row_product
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SMALLEST_SPREAD, OutlierScore, State, of_others, residual_of, residual_spread

_SMALLEST_DEVIATION = 0.1  # of logarithms of errors
_NEGLIGIBLE = 1e-4  # relative error of a squared Mahalanobis distance


class ReconstructionError(OutlierScore):
    """Mean squared residual of a sample, in scaled units.

    Parameters
    ----------
    normalize : {"standard", "log"} or None, default="standard"
        None uses the residuals without normalization. "standard" divides each feature's residual by its root mean
        square on held-out samples, so that features with large reconstruction errors do not dominate. "log" replaces
        the squares of these ratios z by ``log(1 + z ** 2)``, which limits the influence of single features.

    Notes
    -----
    Squares are summed in the network's dtype. With float32, the sum of the feature scores equals the score up to
    float32 rounding.
    """

    required_terms = ("reconstruction",)
    uses_terms = False
    uses_references = False
    explains_features = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"normalize": [StrOptions({"standard", "log"}), None]}

    def __init__(self, normalize: str | None = "standard"):
        self.normalize = normalize

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store the root mean square of each feature's residual."""
        del references
        return {"spread": residual_spread(held_out, others)}

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Replace the root mean squares."""
        del state
        return self.fit(held_out, held_out)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over features."""
        if self.normalize == "log":
            return self.feature_scores(evaluation, state).sum(dim=-1)
        ratios = self._ratios(evaluation, state)
        return torch.linalg.vector_norm(ratios, dim=-1).double().square_().div_(ratios.shape[-1])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the term of each feature in the mean."""
        squares = self._ratios(evaluation, state).double().square()
        return (squares.log1p() if self.normalize == "log" else squares) / squares.shape[-1]

    def _ratios(self, evaluation: Evaluation, state: State) -> Tensor:
        residual = evaluation.target - evaluation.reconstruction
        if self.normalize is None:
            return residual
        return residual.mul_(state["spread"][:, None, :].reciprocal().to(residual.dtype))


class SensorError(OutlierScore):
    """Largest error of a sensor, compared with the errors of this sensor on held-out samples.

    The error of a sensor is the mean squared residual of its values, in scaled units. The score is the largest
    standardised logarithm of the errors: minus its mean, divided by its standard deviation on held-out samples. So
    errors of different sensors, some of which may have long tails, are on one scale.

    Parameters
    ----------
    n_sensors : int, default=1
        Number of sensors, which must divide the number of features: a sample holds the values of the first sensor, then
        those of the second, and so on. Each sensor has one scale for all of its values.
    """

    required_terms = ("reconstruction",)
    uses_terms = False
    uses_references = False
    is_log_scale = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_sensors": [integers(1)]}

    def __init__(self, n_sensors: int = 1):
        self.n_sensors = n_sensors

    def check_features(self, n_features: int) -> None:
        """Raise an error if sensors would have different numbers of features."""
        if n_features % self.n_sensors:
            raise ValueError(
                f"n_sensors={self.n_sensors} of SensorError does not divide the {n_features} features of X; use the "
                "number of sensors, of which each has equally many features."
            )

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Store mean and standard deviation of each sensor's logarithms."""
        del references
        logs = of_others(self._logs(held_out), others)
        deviation = logs.std(dim=1, correction=0).clamp(min=_SMALLEST_DEVIATION)
        return {"location": logs.mean(dim=1), "deviation": deviation}

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Replace means and standard deviations."""
        del state
        return self.fit(held_out, held_out)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the largest standardised logarithm."""
        deviations = self._logs(evaluation) - state["location"][:, None, :]
        return (deviations / state["deviation"][:, None, :]).amax(dim=-1)

    def _logs(self, evaluation: Evaluation) -> Tensor:
        """Logarithms of the errors of sensors, (n_members, n, n_sensors)."""
        errors = residual_of(evaluation).square().unflatten(-1, (self.n_sensors, -1)).mean(dim=-1)
        return errors.clamp(min=SMALLEST_SPREAD**2).log()


class Mahalanobis(OutlierScore):
    """Squared Mahalanobis distance of the residual, or of code and residual together, divided by the dimension.

    Parameters
    ----------
    on : {"residual", "code+residual"}, default="residual"
        The vector whose covariance is estimated. For "residual" this is done on held-out samples. For "code+residual"
        it is done on references, whose residuals are rescaled to the root mean square of held-out residuals.
    covariance : scikit-learn covariance estimator or None, default=None
        For example ``MinCovDet()`` or ``OAS()``. None is ``LedoitWolf()``, whose shrinkage makes it stable for few
        samples.

    Notes
    -----
    The score of feature j is ``d_j (P d)_j / n``, its term of the quadratic form of deviation d and precision P, where
    n is the dimension of d. The term is negative where the deviation of feature j makes the deviations of the other
    features more probable. The terms of the code are left out.

    References
    ----------
    O. Ledoit and M. Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices", JMVA 88, 2004.
    """

    required_terms = ("reconstruction",)
    uses_terms = False
    explains_features = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "on": [StrOptions({"residual", "code+residual"})],
        "covariance": [EmpiricalCovariance, None],
    }

    def __init__(self, on: str = "residual", covariance: Any = None):
        self.on = on
        self.covariance = covariance

    @property
    def uses_references(self) -> bool:  # type: ignore[override]
        """Whether references are needed: only for codes, since codes of different members cannot be compared."""
        return self.on != "residual"

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Estimate location and precision: from held-out samples for "residual", else from references."""
        n_members, device = len(held_out.target), held_out.target.device
        # Members that learn from the same samples share one estimate.
        keys = range(n_members) if others is None or self.on != "residual" else map(tuple, others.tolist())
        forms: dict[Any, dict[str, np.ndarray]] = {}
        chosen = []
        for key, rows in zip(keys, self._learnt_from(references, held_out, others), strict=True):
            if key not in forms:
                forms[key] = self._form(rows.cpu().numpy())
            chosen.append(forms[key])
        # The root is accurate enough in the network's dtype. "weight" and "axes" enter a difference and need float64.
        types = {"root": held_out.target.dtype}
        state = {
            name: torch.tensor(
                _stacked([form[name] for form in chosen]), dtype=types.get(name, torch.float64), device=device
            )
            for name in chosen[0]
        }
        return {name: padded(value) if name in ("root", "axes") else value for name, value in state.items()}

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Replace the covariance of residuals; that of codes and residuals together is kept."""
        return self.fit(held_out, held_out) if self.on == "residual" else state

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the quadratic form, divided by its dimension."""
        deviation = self._deviation(evaluation, state)
        width = deviation.shape[-1]
        if "root" in state:
            return row_product(deviation.to(state["root"].dtype), state["root"]).double().square().sum(dim=-1) / width
        explained = row_product(deviation, state["axes"]).square().sum(dim=-1)
        whole = (deviation.square() * state["weight"][:, None, :]).sum(dim=-1)
        return (whole - explained).clamp(min=0) / width

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the terms of the features in the quadratic form."""
        return self._shares(evaluation, state)[..., -evaluation.target.shape[-1] :]

    def _learnt_from(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Iterator[Tensor]:
        """Yield the vectors whose covariance is estimated, (n, width), one member after the other to save memory."""
        if self.on == "residual":
            yield from of_others(residual_of(held_out), others)
            return
        for member, wanted in enumerate(residual_spread(held_out, others)):
            yield _code_and_residual(references[member : member + 1], wanted)[0]

    def _form(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the location and a factorization of the precision of vectors (n, width).

        The precision is ``root @ root.T``. If n < width and ``covariance`` is None, it is
        ``diag(weight) - axes @ axes.T`` instead: the centered vectors span fewer than ``width`` directions, and in all
        other directions the shrunk covariance is a multiple of the identity. Directions in which the variance is hardly
        larger than that are left out, too: with fewer axes, a score takes less time.
        """
        # Standardize each column: the scale of a latent code is arbitrary.
        spread = np.maximum(rows.std(axis=0), SMALLEST_SPREAD)
        location, least = rows.mean(axis=0), SMALLEST_SPREAD**2
        if len(rows) < 2:
            return {"location": location, "root": np.diag(1 / spread)}
        if self.covariance is None and len(rows) < rows.shape[1]:
            centered = (rows - location) / spread
            shrinkage = _shrinkage(centered)
            _, lengths, axes = np.linalg.svd(centered, full_matrices=False)
            rest = max(shrinkage * np.square(lengths).sum() / rows.size, least)
            values = np.maximum((1 - shrinkage) * np.square(lengths) / len(rows) + rest, least)
            larger = values > (1 + _NEGLIGIBLE) * rest
            axes = axes[larger].T * np.sqrt((1 - rest / values[larger]) / rest) / spread[:, None]
            return {"location": location, "weight": spread**-2 / rest, "axes": axes}
        rows /= spread  # in place: there are no other uses of these vectors
        fitted = self._covariance().fit(rows)
        values, axes = np.linalg.eigh(fitted.covariance_)
        root = axes / np.sqrt(np.maximum(values, least)) / spread[:, None]
        return {"location": fitted.location_ * spread, "root": root}

    def _covariance(self) -> EmpiricalCovariance:
        """Return an unfitted covariance estimator that does not use numpy's global random state."""
        covariance = clone(LedoitWolf() if self.covariance is None else self.covariance)
        if covariance.get_params().get("random_state", 0) is None:
            covariance.set_params(random_state=0)
        return covariance

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        residual = residual_of(evaluation)
        return residual if self.on == "residual" else torch.cat([evaluation.code.double(), residual], dim=-1)

    def _deviation(self, evaluation: Evaluation, state: State) -> Tensor:
        return self._vectors(evaluation) - state["location"][:, None, :]

    def _shares(self, evaluation: Evaluation, state: State) -> Tensor:
        deviation = self._deviation(evaluation, state)
        width = deviation.shape[-1]
        if "axes" in state:
            projected = row_product(deviation, state["axes"])
            product = deviation * state["weight"][:, None, :] - row_product(projected, state["axes"].mT)[..., :width]
        else:
            root = state["root"].double()
            product = row_product(row_product(deviation, root), root.mT)[..., :width]
        return deviation * product / width


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """Stack arrays (..., n), whose last axis is filled up with zeros to the same length."""
    longest = max(array.shape[-1] for array in arrays)
    return np.stack([np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, longest - array.shape[-1])]) for array in arrays])


def _code_and_residual(references: Evaluation, wanted: Tensor) -> Tensor:
    """Join the codes of a member's references and their residuals, rescaled to the wanted root mean square."""
    residual = residual_of(references)
    spread = residual.square().mean(dim=1).sqrt().clamp(min=SMALLEST_SPREAD)
    return torch.cat([references.code.double(), residual.mul_((wanted / spread)[:, None, :])], dim=-1)


def _shrinkage(rows: np.ndarray) -> float:
    """Return ``ledoit_wolf_shrinkage`` of centered vectors (n, width), computed from the (n, n) Gram matrix."""
    n_rows, width = rows.shape
    lengths = np.square(rows).sum(axis=1)
    squares = np.square(rows @ rows.T).sum() / n_rows**2  # squared Frobenius norm of the covariance
    distance = squares - (lengths.sum() / n_rows) ** 2 / width  # squared, from the nearest multiple of the identity
    error = min((np.square(lengths).sum() / n_rows - squares) / n_rows, distance)
    return float(error / distance) if error > 0 else 0.0
