"""How strange a row is: scores of what an objective found, larger for stranger rows.

A score may learn from two sets of rows for each member of the network: some that the member was trained on
(references) and some that were held out of its training, which show how large errors are on new rows. What it
learns is a dict of tensors, its state. Everything runs in float64 and row by row in blocks of one shape.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from torch import Tensor

from sk_autoencoder._parts import Part, resolve
from sk_autoencoder._validation import StrOptions, integers
from sk_autoencoder.objectives import Evaluation

State = dict[str, Tensor]

# Spreads below this share of a column's own spread are rounding, not knowledge.
_SMALLEST_SPREAD = 1e-2
_SMALLEST_SCORE = 1e-12
_MULTIPLE = 16


class Score(Part):
    """Abstract: a number for each row from an evaluation and what was learnt beforehand."""

    needs: ClassVar[tuple[str, ...]] = ()  # parts of an evaluation that it reads
    explains_features: ClassVar[bool] = False  # whether it has feature scores
    is_logarithm: ClassVar[bool] = False  # whether it is one already, as a log-likelihood is, and may be negative

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn the state of one member; the evaluations' tensors have no member axis."""
        del references, held_out
        return {}

    def cross_fitted(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Score one member's held-out rows, (n,), each half with a state learnt from the other half."""
        n_rows = held_out.target.shape[0]
        halves = [slice(0, n_rows // 2), slice(n_rows // 2, n_rows)]
        if n_rows < 2:
            halves = [slice(None), slice(None)]
        results = []
        for scored, learnt in zip(halves, reversed(halves), strict=True):
            state = self.fit(references, held_out[learnt])
            batched = {name: value[None] for name, value in state.items()}
            results.append(self(held_out[scored][None], batched)[0])
        return torch.cat(results)[:n_rows]

    @abstractmethod
    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Score rows, (n_members, n); every tensor of the state has a leading member axis."""

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return the score's components by name, each (n_members, n), before any common scale."""
        return {_name(self): self(evaluation, state)}

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature contributes, (n_members, n, n_features)."""
        raise NotImplementedError(f"{type(self).__name__} does not explain features")


def _name(score: Score) -> str:
    return next((name for name, part in SCORES.items() if type(score) is part), type(score).__name__)


def _residual(evaluation: Evaluation) -> Tensor:
    return evaluation.target.double() - evaluation.reconstruction.double()


class ReconstructionError(Score):
    """Mean squared residual of a row, in scaled units.

    Parameters
    ----------
    normalize : {"standard", "log"} or None, default="standard"
        None takes residuals as they are. "standard" divides each feature's residual by its root mean square on
        held-out rows, so that features that are hard to rebuild do not drown the others. "log" takes
        ``log(1 + z ** 2)`` of these ratios z, so that no single feature decides alone.
    """

    needs = ("reconstruction",)
    explains_features = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"normalize": [StrOptions({"standard", "log"}), None]}

    def __init__(self, normalize: str | None = "standard"):
        self.normalize = normalize

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn the spread of each feature's residual."""
        del references
        spread = _residual(held_out).square().mean(dim=0).sqrt()
        return {"spread": spread.clamp(min=_SMALLEST_SPREAD)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over features."""
        return self.feature_scores(evaluation, state).sum(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean."""
        residual = _residual(evaluation)
        if self.normalize is not None:
            residual = residual / state["spread"][:, None, :]
        squares = residual.square()
        return (squares.log1p() if self.normalize == "log" else squares) / residual.shape[-1]


class Mahalanobis(Score):
    """Squared Mahalanobis length of the residual, or of code and residual together, divided by its dimension.

    Parameters
    ----------
    on : {"residual", "code+residual"}, default="residual"
        The vector whose covariance is learnt from held-out rows.
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

    needs = ("reconstruction",)
    explains_features = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "on": [StrOptions({"residual", "code+residual"})],
        "covariance": [EmpiricalCovariance, None],
    }

    def __init__(self, on: str = "residual", covariance: Any = None):
        self.on = on
        self.covariance = covariance

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn location and precision."""
        del references
        vectors = self._vectors(held_out)
        rows = vectors.cpu().numpy()
        # The code has no unit of its own; the residual keeps that of the scaled rows.
        spread = np.maximum(rows.std(axis=0), _SMALLEST_SPREAD)
        if len(rows) < 2:
            location, precision = rows.mean(axis=0), np.diag(spread**-2)
        else:
            fitted = self._covariance().fit(rows / spread)
            values, axes = np.linalg.eigh(fitted.covariance_)
            inverse = (axes / np.maximum(values, _SMALLEST_SPREAD**2)) @ axes.T
            location, precision = fitted.location_ * spread, inverse / np.outer(spread, spread)
        return {
            name: torch.tensor(a, device=vectors.device) for name, a in zip(_FORM, (location, precision), strict=True)
        }

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the quadratic form, divided by its dimension."""
        return self._shares(evaluation, state).sum(dim=-1).clamp(min=0)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the features' shares."""
        return self._shares(evaluation, state)[..., -evaluation.target.shape[-1] :]

    def _covariance(self) -> EmpiricalCovariance:
        """Make an estimator that draws nothing from numpy's global generator."""
        covariance = clone(LedoitWolf() if self.covariance is None else self.covariance)
        if covariance.get_params().get("random_state", 0) is None:
            covariance.set_params(random_state=0)
        return covariance

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        residual = _residual(evaluation)
        return residual if self.on == "residual" else torch.cat([evaluation.code.double(), residual], dim=-1)

    def _shares(self, evaluation: Evaluation, state: State) -> Tensor:
        deviation = self._vectors(evaluation) - state["location"][:, None, :]
        return deviation * row_product(deviation, state["precision"]) / deviation.shape[-1]


_FORM = ("location", "precision")


def row_product(rows: Tensor, matrix: Tensor) -> Tensor:
    """``rows @ matrix`` with widths padded to multiples of 16, so that equal rows give equal bits at any place."""
    missing = -rows.shape[-1] % _MULTIPLE
    product = F.pad(rows, (0, missing)) @ F.pad(matrix, (0, missing, 0, missing))
    return product[..., : rows.shape[-1]]


class CodeDistance(Score):
    """Mean distance of a row's code to the nearest codes of training rows.

    Parameters
    ----------
    n_neighbors : int, default=5
        How many nearest reference codes are averaged; all of them if there are fewer.

    Notes
    -----
    The references are at most 4096 training rows, drawn once.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_neighbors": [integers(1)]}

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Keep the reference codes, each entry divided by its spread."""
        del held_out
        codes = references.code.double()
        spread = codes.std(dim=0, correction=0)
        spread = torch.where(spread > 0, spread, torch.ones_like(spread))
        return {"references": codes / spread, "spread": spread}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        codes = evaluation.code.double() / state["spread"][:, None, :]
        references = state["references"]
        distances = torch.cdist(codes, references, compute_mode="donot_use_mm_for_euclid_dist")  # (m, n, references)
        nearest = distances.topk(min(self.n_neighbors, references.shape[1]), dim=-1, largest=False).values
        return nearest.mean(dim=-1)


class Divergence(Score):
    """Kullback-Leibler divergence of a variational code from the standard normal, in nats for each feature."""

    needs = ("kl",)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the part."""
        del state
        return evaluation.parts["kl"].double()


class NegativeELBO(Score):
    """Negative evidence lower bound of a variational autoencoder, in nats for each feature.

    The price of rebuilding a row from the mean of its code, plus the price of the code. Of the two, a bound on how
    improbable the row is, the first grows with strange details and the second with strange combinations.

    References
    ----------
    J. An and S. Cho, "Variational Autoencoder based Anomaly Detection using Reconstruction Probability", SNU 2015.
    """

    needs = ("reconstruction", "kl")
    is_logarithm = True

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum of both parts."""
        del state
        return evaluation.parts["reconstruction"].double() + evaluation.parts["kl"].double()


class Combined(Score):
    """Mean of several scores on a common scale.

    The logarithm of each score (the score itself, if it is a logarithm) is centred at its median on held-out rows and
    divided by its median deviation there, so that no score outweighs the others by its units.

    Parameters
    ----------
    scores : list of str or Score, default=("mahalanobis", "code_distance")
        The components.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"scores": [list, tuple]}

    def __init__(self, scores: Any = ("mahalanobis", "code_distance")):
        self.scores = scores

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """What any component needs."""
        return tuple(dict.fromkeys(need for score in self._parts() for need in score.needs))

    @property
    def explains_features(self) -> bool:  # type: ignore[override]
        """Whether a component explains features."""
        return any(score.explains_features for score in self._parts())

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn each component's state, and its scale from cross-fitted scores."""
        state: State = {}
        for name, score in self._named().items():
            center, deviation = _location(_log(score, score.cross_fitted(references, held_out)))
            state |= {f"{name}.median": center, f"{name}.deviation": deviation}
            state |= {f"{name}.{key}": value for key, value in score.fit(references, held_out).items()}
        return state

    def cross_fitted(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Score held-out rows with cross-fitted components on the scale of ``fit``, which halves would not learn."""
        scaled = []
        for score in self._parts():
            logs = _log(score, score.cross_fitted(references, held_out))
            center, deviation = _location(logs)
            scaled.append((logs - center) / deviation)
        return torch.stack(scaled).mean(dim=0)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the scaled logarithms."""
        scaled = []
        for name, score in self._named().items():
            own = _substate(state, name)
            scaled.append((_log(score, score(evaluation, own)) - own["median"][:, None]) / own["deviation"][:, None])
        return torch.stack(scaled).mean(dim=0)

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return each component before the common scale."""
        return {name: score(evaluation, _substate(state, name)) for name, score in self._named().items()}

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return those of the first component that explains features."""
        name, score = next((n, s) for n, s in self._named().items() if s.explains_features)
        return score.feature_scores(evaluation, _substate(state, name))

    def _parts(self) -> list[Score]:
        if not self.scores:
            raise ValueError("Combined needs at least one score, for example Combined(['mahalanobis']).")
        unknown = [score for score in self.scores if not (isinstance(score, Score) or score in SCORES)]
        if unknown:
            raise ValueError(f"Combined takes score objects and names among {sorted(SCORES)}, got {unknown!r}.")
        parts = [resolve(SCORES, score) for score in self.scores]
        if any(isinstance(part, Combined) for part in parts):
            raise ValueError(f"Combined takes plain scores, got {self.scores!r}.")
        return parts

    def _named(self) -> dict[str, Score]:
        """Components by name; a name that occurs again gets its position behind it."""
        named: dict[str, Score] = {}
        for position, score in enumerate(self._parts()):
            name = _name(score)
            named[f"{name}_{position}" if name in named else name] = score
        return named


def _log(score: Score, values: Tensor) -> Tensor:
    return values if score.is_logarithm else values.clamp(min=_SMALLEST_SCORE).log()


def _location(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Median and median deviation of one component's logarithms."""
    center = logs.median()
    return center, (logs - center).abs().median().clamp(min=_SMALLEST_SPREAD)


def _substate(state: State, name: str) -> State:
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}


SCORES: dict[str, type[Score]] = {
    "reconstruction": ReconstructionError,
    "mahalanobis": Mahalanobis,
    "code_distance": CodeDistance,
    "kl": Divergence,
    "elbo": NegativeELBO,
    "combined": Combined,
}
