"""How strange a row is: scores of what an objective found, larger for stranger rows.

A score may learn from two sets of rows for each member of the network: some that the member was trained on
(references, in random order) and some that were held out of its training, which show how large errors are on new
rows. What it learns is a dict of tensors, its state. Everything runs in float64 and row by row in blocks of one shape.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log
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
        """Learn the state from evaluations (n_members, n, ...); its tensors have a leading member axis too."""
        del references, held_out
        return {}

    def cross_fitted(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Score each member's held-out rows, (n_members, n), each half with a state learnt from the other half."""
        n_rows = held_out.target.shape[1]
        halves = [slice(0, n_rows // 2), slice(n_rows // 2, n_rows)]
        if n_rows < 2:
            halves = [slice(None), slice(None)]
        results = [
            self(held_out[:, scored], self.fit(references, held_out[:, learnt]))
            for scored, learnt in zip(halves, reversed(halves), strict=True)
        ]
        return torch.cat(results, dim=1)[:, :n_rows]

    @abstractmethod
    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Score rows, (n_members, n), with a state that ``fit`` learnt."""

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return the score's components by name, each (n_members, n), before any common scale."""
        return {_name(self): self(evaluation, state)}

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature contributes, (n_members, n, n_features)."""
        raise NotImplementedError(f"{type(self).__name__} does not explain features")


def _name(score: Score) -> str:
    return next((name for name, part in SCORES.items() if type(score) is part), type(score).__name__)


def _residual(evaluation: Evaluation) -> Tensor:
    return (evaluation.target - evaluation.reconstruction).double()


def _residual_spread(held_out: Evaluation) -> Tensor:
    """Root mean square of each feature's residual over the held-out rows of all members, (n_members, n_features)."""
    residual = _residual(held_out)
    spread = residual.square().mean(dim=(0, 1)).sqrt().clamp(min=_SMALLEST_SPREAD)
    return spread.expand(len(residual), -1)


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
        return {"spread": _residual_spread(held_out)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over features."""
        if self.normalize == "log":
            return self.feature_scores(evaluation, state).sum(dim=-1)
        ratios = self._ratios(evaluation, state)
        # The norm adds up squares in float64 without a copy of the cells in float64.
        return torch.linalg.vector_norm(ratios, dim=-1, dtype=torch.float64).square() / ratios.shape[-1]

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend of the mean."""
        squares = self._ratios(evaluation, state).double().square()
        return (squares.log1p() if self.normalize == "log" else squares) / squares.shape[-1]

    def _ratios(self, evaluation: Evaluation, state: State) -> Tensor:
        residual = evaluation.target - evaluation.reconstruction
        if self.normalize is None:
            return residual
        return residual.mul_(state["spread"][:, None, :].reciprocal().to(residual.dtype))


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
        """Learn location and precision: of residuals for all members together, of codes for each member."""
        del references
        vectors = self._vectors(held_out)
        n_members = len(vectors)
        groups = vectors.flatten(0, 1)[None] if self.on == "residual" else vectors
        forms = zip(*(self._form(rows.cpu().numpy()) for rows in groups), strict=True)
        stacked = (torch.tensor(np.stack(arrays), device=vectors.device) for arrays in forms)
        return {name: s.expand(n_members, *s.shape[1:]) for name, s in zip(_FORM, stacked, strict=True)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the quadratic form, divided by its dimension."""
        return self._shares(evaluation, state).sum(dim=-1).clamp(min=0)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the features' shares."""
        return self._shares(evaluation, state)[..., -evaluation.target.shape[-1] :]

    def _form(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location and precision of some rows."""
        # The code has no unit of its own; the residual keeps that of the scaled rows.
        spread = np.maximum(rows.std(axis=0), _SMALLEST_SPREAD)
        if len(rows) < 2:
            return rows.mean(axis=0), np.diag(spread**-2)
        fitted = self._covariance().fit(rows / spread)
        values, axes = np.linalg.eigh(fitted.covariance_)
        inverse = (axes / np.maximum(values, _SMALLEST_SPREAD**2)) @ axes.T
        return fitted.location_ * spread, inverse / np.outer(spread, spread)

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
    n_in, n_out = matrix.shape[-2:]
    missing = -n_in % _MULTIPLE
    product = F.pad(rows, (0, missing)) @ F.pad(matrix, (0, -n_out % _MULTIPLE, 0, missing))
    return product[..., :n_out]


class _Distance(Score):
    """Abstract: mean distance to the nearest references, in a space that a child chooses.

    Distances add up the absolute differences of all entries, which bears single wild entries better than squares do.
    References are at most 1024 rows that the member was trained on, fewer if rows are wider than 128, but at least 256.
    A training row may be among them and its own nearest neighbour: with one neighbour, thresholds learnt on new rows
    flag hardly any training row, which is why two are the default.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_neighbors": [integers(1)]}

    def __init__(self, n_neighbors: int = 2):
        self.n_neighbors = n_neighbors

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Keep references in units of each entry's spread."""
        spread = self._spread(references, held_out)
        vectors = self._vectors(_some(references)) / spread[:, None, :]
        return {"references": vectors, "spread": spread}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean distance."""
        vectors = self._vectors(evaluation) / state["spread"][:, None, :]
        distances = torch.cdist(vectors, state["references"], p=1.0)  # (..., m, n, references)
        if self.n_neighbors == 1:
            return distances.amin(dim=-1)
        nearest = distances.topk(min(self.n_neighbors, distances.shape[-1]), dim=-1, largest=False).values
        return nearest.mean(dim=-1)

    @abstractmethod
    def _vectors(self, evaluation: Evaluation) -> Tensor:
        """Return what is compared, (..., n_members, n, width)."""

    @abstractmethod
    def _spread(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Return the unit of each entry, (n_members, width), without zeros."""


class RowDistance(_Distance):
    """Mean distance of a row to the nearest training rows, in scaled units; no network is involved.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest references are averaged; all of them if there are fewer. One finds rows beside the normal ones,
        more also find small clusters of outliers.

    References
    ----------
    S. Ramaswamy et al., "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000.
    M. Sugiyama and K. Borgwardt, "Rapid Distance-Based Outlier Detection via Sampling", NeurIPS 2013.
    """

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.target.double()

    def _spread(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        del held_out
        return torch.ones_like(references.target[:, 0], dtype=torch.float64)


class CodeDistance(_Distance):
    """Mean distance of a row's code to the nearest codes of training rows, each entry divided by its spread.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest reference codes are averaged; all of them if there are fewer.
    """

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return evaluation.code.double()

    def _spread(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        del held_out
        spread = references.code.double().std(dim=1, correction=0)
        return torch.where(spread > 0, spread, torch.ones_like(spread))


class ResidualDistance(_Distance):
    """Mean distance of a row's residual to the nearest residuals of training rows.

    Residuals are divided by their root mean square on held-out rows. A row is strange when the network fails on it in
    a way that it does not fail on any training row.

    Parameters
    ----------
    n_neighbors : int, default=2
        How many nearest reference residuals are averaged; all of them if there are fewer.
    """

    needs = ("reconstruction",)

    def _vectors(self, evaluation: Evaluation) -> Tensor:
        return _residual(evaluation)

    def _spread(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        del references
        return _residual_spread(held_out)


# References are limited in number and in cells, so that a row's cost and the state's size are.
_MOST_REFERENCES, _FEWEST_REFERENCES, _REFERENCE_CELLS = 1 << 10, 1 << 8, 1 << 17


def _some(references: Evaluation) -> Evaluation:
    """Return the first references, as many as are compared with."""
    width = max(references.target.shape[-1], references.code.shape[-1])
    return references[:, : min(_MOST_REFERENCES, max(_FEWEST_REFERENCES, _REFERENCE_CELLS // width))]


class _Isolation(Score):
    """Abstract: distance to the nearest of a few training rows, over many small random subsets of them.

    A small subset holds few outliers, or none, however many there are in training: the distance stays large for
    clusters of outliers, which have near neighbours among all rows. Distances add up absolute differences of
    ``sign(x) * log(1 + abs(x))``, and their ``log(1 + distance)`` is averaged over the subsets.

    References
    ----------
    G. Pang et al., "LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours", ICDM Workshops 2015.
    T. Bandaragoda et al., "Isolation-Based Anomaly Detection Using Nearest-Neighbor Ensembles", Computational
    Intelligence 34, 2018.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_subsets": [integers(1)], "subset_size": [integers(1)]}

    def __init__(self, n_subsets: int = 32, subset_size: int = 8):
        self.n_subsets = n_subsets
        self.subset_size = subset_size

    def _subsets(self, references: Tensor) -> Tensor:
        """Cut references (n_members, n, width), which are in random order: (n_members, subsets, rows, width)."""
        size = min(self.subset_size, references.shape[1])
        n_subsets = min(self.n_subsets, references.shape[1] // size)
        return references[:, : n_subsets * size].unflatten(1, (n_subsets, size))


class RowIsolation(_Isolation):
    """Distance of a row to the nearest of a few training rows, over many small subsets; no network is involved.

    Parameters
    ----------
    n_subsets : int, default=32
        Subsets of training rows for each member; fewer if there are not enough rows.
    subset_size : int, default=8
        Rows of a subset. More rows make the score more local, and easier to deceive by clusters of outliers.

    References
    ----------
    G. Pang et al., "LeSiNN: Detecting Anomalies by Identifying Least Similar Nearest Neighbours", ICDM Workshops 2015.
    """

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Keep the subsets."""
        del held_out
        return {"subsets": self._subsets(_signed_log(references.target))}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over subsets."""
        subsets = state["subsets"]  # (m, subsets, rows, n_features)
        distances = torch.cdist(_signed_log(evaluation.target), subsets.flatten(1, 2), p=1.0)
        return distances.unflatten(-1, subsets.shape[1:3]).amin(dim=-1).log1p().mean(dim=-1)


class ReconstructionIsolation(_Isolation):
    """Distance of a rebuilt row to the nearest of a few rebuilt training rows, on random pairs of directions.

    The reconstruction holds what the network understood of a row; what it did not is left to scores of the residual.
    Each subset is seen from two random directions, in units of the rebuilt rows' spread along them.

    Parameters
    ----------
    n_subsets : int, default=32
        Subsets of training rows for each member; fewer if there are not enough rows.
    subset_size : int, default=8
        Rows of a subset.

    References
    ----------
    T. Pevny, "Loda: Lightweight On-line Detector of Anomalies", Machine Learning 102, 2016, for random directions.
    """

    needs = ("reconstruction",)

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Draw directions, and keep the subsets as seen from there."""
        del held_out
        rows = _signed_log(_some(references).reconstruction)
        directions = _directions(len(rows), rows.shape[-1], _N_DIRECTIONS * self.n_subsets).to(rows.device)
        spread = row_product(rows, directions).std(dim=1, correction=0, keepdim=True)
        directions = directions / torch.where(spread > 0, spread, torch.ones_like(spread))
        subsets = self._subsets(row_product(rows, directions))  # (m, subsets, rows, _N_DIRECTIONS * n_subsets)
        own = subsets.unflatten(-1, (-1, _N_DIRECTIONS))[:, :, :, : subsets.shape[1]]
        return {"directions": directions, "subsets": own.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean over subsets."""
        subsets = state["subsets"]  # (m, subsets, rows, _N_DIRECTIONS)
        seen = row_product(_signed_log(evaluation.reconstruction), state["directions"])
        seen = seen.unflatten(-1, (-1, _N_DIRECTIONS))[..., : subsets.shape[1], None, :]  # (..., m, n, subsets, 1, 2)
        distances = (seen - subsets[:, None]).abs().sum(dim=-1)
        return distances.amin(dim=-1).log1p().mean(dim=-1)


_N_DIRECTIONS = 2


def _signed_log(rows: Tensor) -> Tensor:
    rows = rows.double()
    return rows.sign() * rows.abs().log1p()


def _directions(n_members: int, width: int, n_directions: int) -> Tensor:
    """Draw normal directions, (n_members, width, n_directions): the same in each fit, others for each member."""
    drawn = [
        torch.randn(
            width, n_directions, generator=torch.Generator("cpu").manual_seed(member), dtype=torch.float64, device="cpu"
        )
        for member in range(n_members)
    ]
    return torch.stack(drawn)


class FeatureTails(Score):
    """How far out each feature of a row lies in its own distribution, whatever the others do; no network is involved.

    The sum over features of ``-log(p)``, with p the smaller of the shares of reference rows at or below the value and
    at or above it. Rows are strange by many unusual values rather than by one extreme one.

    References
    ----------
    Z. Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions", TKDE 2022.
    """

    explains_features = True

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Sort each feature's values."""
        del held_out
        return {"sorted": _some(references).target.double().mT.contiguous().sort(dim=-1).values}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum over features."""
        return self.feature_scores(evaluation, state).sum(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return each feature's addend."""
        values = evaluation.target.double().mT.contiguous()  # (..., m, n_features, n)
        ordered = state["sorted"].expand(*values.shape[:-1], -1).contiguous()
        n_references = ordered.shape[-1]
        below = torch.searchsorted(ordered, values, right=True)
        above = n_references - torch.searchsorted(ordered, values)
        share = torch.minimum(below, above).double().clamp(min=0.5) / n_references
        return -share.log().mT


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


# What makes a row strange unless the user says otherwise; chosen by benchmarks/outliers.py.
def _default() -> tuple[Any, ...]:
    """Return the components of the detector's default score."""
    failed = ("mahalanobis", ResidualDistance(1))  # what the network fails on
    return (*failed, RowDistance(1), "row_isolation", "feature_tails")  # and the row itself


class Combined(Score):
    """Several scores on a common scale, of which the largest for each row are averaged.

    The logarithm of each score (the score itself, if it is a logarithm) is turned into its surprise, minus the
    logarithm of the share of normal rows that are at least as strange: with median q of held-out rows and an
    exponential law above it, ``log(2) + (log(score) - q) / s``. The scale s is that of the rows between the median and
    the 90th percentile, which outliers among the training rows hardly reach. A row that two scores call improbable is
    strange, whatever the others say: a local and a global score fail on different anomalies.

    Parameters
    ----------
    scores : list of str or Score, or None, default=None
        The components. None is "mahalanobis", ``ResidualDistance(1)``, ``RowDistance(1)``, "row_isolation" and
        "feature_tails".
    n_largest : int or None, default=2
        How many of a row's components are averaged, the largest ones; all if there are fewer. 1 is the maximum
        (Tippett's combination of p-values), None averages all (Fisher's).

    References
    ----------
    R. A. Fisher, "Statistical Methods for Research Workers", 1932; L. H. C. Tippett, "The Methods of Statistics", 1931.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scores": [list, tuple, None],
        "n_largest": [integers(1), None],
    }

    def __init__(self, scores: Any = None, n_largest: int | None = 2):
        self.scores = scores
        self.n_largest = n_largest

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """What any component needs."""
        return tuple(dict.fromkeys(need for score in self._parts() for need in score.needs))

    @property
    def explains_features(self) -> bool:  # type: ignore[override]
        """Whether a component explains features."""
        return any(score.explains_features for score in self._parts())

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn each component's state, and its tail from cross-fitted scores."""
        state: State = {}
        for name, score in self._named().items():
            start, scale = _tail(_log(score, score.cross_fitted(references, held_out)))
            own = {"start": start, "scale": scale} | score.fit(references, held_out)
            state |= {f"{name}.{key}": value for key, value in own.items()}
        return state

    def cross_fitted(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Score held-out rows with cross-fitted components on the scale of ``fit``, which halves would not learn."""
        scaled = []
        for score in self._parts():
            logs = _log(score, score.cross_fitted(references, held_out))
            scaled.append(_surprise(logs, *_tail(logs)))
        return self._mean(scaled)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the largest."""
        scaled = []
        for name, score in self._named().items():
            own = _substate(state, name)
            scaled.append(_surprise(_log(score, score(evaluation, own)), own["start"], own["scale"]))
        return self._mean(scaled)

    def _mean(self, scaled: list[Tensor]) -> Tensor:
        stacked = torch.stack(scaled)
        if self.n_largest is not None and self.n_largest < len(stacked):
            stacked = stacked.topk(self.n_largest, dim=0).values
        return stacked.mean(dim=0)

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return each component before the common scale."""
        return {name: score(evaluation, _substate(state, name)) for name, score in self._named().items()}

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return those of the first component that explains features."""
        name, score = next((n, s) for n, s in self._named().items() if s.explains_features)
        return score.feature_scores(evaluation, _substate(state, name))

    def _parts(self) -> list[Score]:
        chosen = _default() if self.scores is None else self.scores
        if not chosen:
            raise ValueError("Combined needs at least one score, for example Combined(['mahalanobis']).")
        unknown = [score for score in chosen if not (isinstance(score, Score) or score in SCORES)]
        if unknown:
            raise ValueError(f"Combined takes score objects and names among {sorted(SCORES)}, got {unknown!r}.")
        parts = [resolve(SCORES, score) for score in chosen]
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


# The bulk of held-out rows whose spread tells how fast the share of stranger rows falls: outliers among them, up to
# a tenth, do not reach it.
_BULK = (0.5, 0.9)


def _tail(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Median of a component's logarithms, and the scale of an exponential law above it, each (n_members,)."""
    low, high = logs.quantile(_BULK[0]), logs.quantile(_BULK[1])
    scale = (high - low) / log((1 - _BULK[0]) / (1 - _BULK[1]))
    return low.expand(len(logs)), scale.clamp(min=_SMALLEST_SPREAD).expand(len(logs))


def _surprise(logs: Tensor, start: Tensor, scale: Tensor) -> Tensor:
    """Minus the logarithm of the share of normal rows that are at least as strange."""
    return (logs - start[:, None]) / scale[:, None] - log(1 - _BULK[0])


def _substate(state: State, name: str) -> State:
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}


SCORES: dict[str, type[Score]] = {
    "reconstruction": ReconstructionError,
    "mahalanobis": Mahalanobis,
    "row_distance": RowDistance,
    "code_distance": CodeDistance,
    "residual_distance": ResidualDistance,
    "row_isolation": RowIsolation,
    "reconstruction_isolation": ReconstructionIsolation,
    "feature_tails": FeatureTails,
    "kl": Divergence,
    "elbo": NegativeELBO,
    "combined": Combined,
}
