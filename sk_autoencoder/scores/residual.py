"""How large the residual is, the part of a row that the network did not rebuild."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from torch import Tensor

from sk_autoencoder._validation import StrOptions
from sk_autoencoder.blocks import row_product
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SMALLEST_SPREAD, OutlierScore, State, of_others, residual_of, residual_spread


class ReconstructionError(OutlierScore):
    """Mean squared residual of a row, in scaled units.

    Parameters
    ----------
    normalize : {"standard", "log"} or None, default="standard"
        None takes residuals as they are. "standard" divides each feature's residual by its root mean square on
        held-out rows, so that features that are hard to rebuild do not drown the others. "log" takes
        ``log(1 + z ** 2)`` of these ratios z, so that no single feature decides alone.

    Notes
    -----
    Squares are added up in the network's precision, so that with float32 feature scores add up to the score but for
    its rounding.
    """

    required_terms = ("reconstruction",)
    uses_terms = False
    uses_references = False
    explains_features = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"normalize": [StrOptions({"standard", "log"}), None]}

    def __init__(self, normalize: str | None = "standard"):
        self.normalize = normalize

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn the spread of each feature's residual."""
        del references
        return {"spread": residual_spread(held_out, others)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over features."""
        if self.normalize == "log":
            return self.feature_scores(evaluation, state).sum(dim=-1)
        ratios = self._ratios(evaluation, state)
        return torch.linalg.vector_norm(ratios, dim=-1).double().square_().div_(ratios.shape[-1])

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean."""
        squares = self._ratios(evaluation, state).double().square()
        return (squares.log1p() if self.normalize == "log" else squares) / squares.shape[-1]

    def _ratios(self, evaluation: Evaluation, state: State) -> Tensor:
        residual = evaluation.target - evaluation.reconstruction
        if self.normalize is None:
            return residual
        return residual.mul_(state["spread"][:, None, :].reciprocal().to(residual.dtype))


class Mahalanobis(OutlierScore):
    """Squared Mahalanobis length of the residual, or of code and residual together, divided by its dimension.

    Parameters
    ----------
    on : {"residual", "code+residual"}, default="residual"
        The vector whose covariance is learnt: from held-out rows, or with the code from references, whose residuals are
        brought to the size that they have on held-out rows.
    covariance : scikit-learn covariance estimator or None, default=None
        For example ``MinCovDet()`` or ``OAS()``. None is ``LedoitWolf()``, shrunk to bear few rows.

    Notes
    -----
    The score of a feature is ``d_j (P d)_j``, its share of the quadratic form of deviation d and precision P. A share
    is negative where a feature makes the others' deviation more plausible. Shares of the code are not among them.

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
        """Whether references are needed: codes of different members cannot be compared."""
        return self.on != "residual"

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn location and precision: of residuals from held-out rows, of codes from references."""
        vectors = self._learnt_from(references, held_out, others)
        n_members = len(vectors)
        # Members that learn from the same rows have the same form.
        keys = range(n_members) if others is None or self.on != "residual" else map(tuple, others.tolist())
        forms: dict[Any, dict[str, np.ndarray]] = {}
        chosen = []
        for key, rows in zip(keys, vectors, strict=True):
            if key not in forms:
                forms[key] = self._form(rows.cpu().numpy())
            chosen.append(forms[key])
        # A root bears the network's number type; what is subtracted from another does not.
        types = {"root": held_out.target.dtype}
        return {
            name: torch.tensor(
                np.stack([form[name] for form in chosen]), dtype=types.get(name, torch.float64), device=vectors.device
            )
            for name in chosen[0]
        }

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the quadratic form, divided by its dimension."""
        if "root" not in state:
            return self._shares(evaluation, state).sum(dim=-1).clamp(min=0)
        whitened = row_product(self._deviation(evaluation, state).to(state["root"].dtype), state["root"])
        return whitened.double().square().mean(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the features' shares."""
        return self._shares(evaluation, state)[..., -evaluation.target.shape[-1] :]

    def _learnt_from(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> Tensor:
        """Return the vectors whose covariance is learnt, (n_members, n, width)."""
        if self.on == "residual":
            return of_others(residual_of(held_out), others)
        residual = residual_of(references)
        spread = residual.square().mean(dim=1).sqrt().clamp(min=SMALLEST_SPREAD)
        residual = residual * (residual_spread(held_out, others) / spread)[:, None, :]
        return torch.cat([references.code.double(), residual], dim=-1)

    def _form(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Location of some rows, and their precision: its "root", or "weight" and "axes" where rows are few.

        The precision is ``root @ root.T``, or ``diag(weight) - axes @ axes.T``.
        Fewer rows than columns span few directions; beside these the shrunk covariance is a multiple of the identity.
        """
        # The code has no unit of its own; the residual keeps that of the scaled rows.
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
            axes = axes.T * np.sqrt((1 - rest / values) / rest) / spread[:, None]
            return {"location": location, "weight": spread**-2 / rest, "axes": axes}
        fitted = self._covariance().fit(rows / spread)
        values, axes = np.linalg.eigh(fitted.covariance_)
        root = axes / np.sqrt(np.maximum(values, least)) / spread[:, None]
        return {"location": fitted.location_ * spread, "root": root}

    def _covariance(self) -> EmpiricalCovariance:
        """Make an estimator that draws nothing from numpy's global generator."""
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
        if "axes" in state:
            seen = row_product(deviation, state["axes"])
            product = deviation * state["weight"][:, None, :] - row_product(seen, state["axes"].mT)
        else:
            root = state["root"].double()
            product = row_product(row_product(deviation, root), root.mT)
        return deviation * product / deviation.shape[-1]


def _shrinkage(rows: np.ndarray) -> float:
    """Return ``ledoit_wolf_shrinkage`` of centred rows by products of rows, which are few, instead of columns."""
    n_rows, width = rows.shape
    lengths = np.square(rows).sum(axis=1)
    squares = np.square(rows @ rows.T).sum() / n_rows**2  # the sum of the squared entries of the covariance
    distance = squares - (lengths.sum() / n_rows) ** 2 / width  # from the multiple of the identity
    error = min((np.square(lengths).sum() / n_rows - squares) / n_rows, distance)
    return float(error / distance) if error > 0 else 0.0
