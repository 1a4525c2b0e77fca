"""Several scores on a common scale."""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import ROUNDING
from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import mean_of
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SMALLEST_SPREAD, Score, State
from sk_autoencoder.scores.distances import CodeDistance, RankDistance, ResidualDistance, RowDistance
from sk_autoencoder.scores.isolation import ReconstructionIsolation, RowIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO

T = TypeVar("T")

PLAIN_SCORES: dict[str, type[Score]] = {
    "reconstruction": ReconstructionError,
    "mahalanobis": Mahalanobis,
    "row_distance": RowDistance,
    "rank_distance": RankDistance,
    "code_distance": CodeDistance,
    "residual_distance": ResidualDistance,
    "row_isolation": RowIsolation,
    "reconstruction_isolation": ReconstructionIsolation,
    "feature_tails": FeatureTails,
    "kl": Divergence,
    "elbo": NegativeELBO,
}


# What makes a row strange unless the user says otherwise; chosen by benchmarks/outliers.py.
def _default() -> tuple[Any, ...]:
    """Return the components of the detector's default score."""
    failed = Combined(["mahalanobis", ResidualDistance(1)], n_largest=None)  # what the network fails on
    return (failed, RowDistance(1, 2048), RankDistance(1), "row_isolation", "feature_tails")  # and the row itself


class Combined(Score):
    """Several scores on a common scale, of which the largest for each row are averaged.

    The logarithm of each score (the score itself, if it is a logarithm) is turned into its surprise, minus the
    logarithm of the share of normal rows that are at least as strange: with median q of held-out rows and an
    exponential law above it, ``log(2) + (log(score) - q) / s``. The scale s is that of the rows between the median and
    the 90th percentile, which outliers among the training rows hardly reach. A row that two scores call improbable is
    strange, whatever the others say: a local and a global score fail on different anomalies.

    Beyond the 90th percentile the law is an extrapolation, and local scores betray it when there are outliers among the
    training rows: these have near neighbours and are rebuilt, and a few normal rows at the rim look stranger than any
    of them. Their surprise s is damped there to ``b + log(1 + s - b)``, with b = log(10), so that an outlier which a
    global score gives away stays ahead.

    The surprises of all members are averaged before the largest are chosen: no single member's whim counts.

    Parameters
    ----------
    scores : list of str or Score, or None, default=None
        The components. One may be a Combined itself, of several scores that are to count as one; it is on the common
        scale already. None is ``Combined(["mahalanobis", ResidualDistance(1)], n_largest=None)``,
        ``RowDistance(1, 2048)``, ``RankDistance(1)``, "row_isolation" and "feature_tails".
    n_largest : int or None, default=2
        How many of a row's components are averaged, the largest ones; all if there are fewer. 1 is the maximum
        (Tippett's combination of p-values), None averages all (Fisher's).
    damped : bool, default=True
        Whether local components (``is_local``), all but isolation and tails, are damped beyond the 90th percentile.

    References
    ----------
    R. A. Fisher, "Statistical Methods for Research Workers", 1932; L. H. C. Tippett, "The Methods of Statistics", 1931.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scores": [list, tuple, None],
        "n_largest": [integers(1), None],
        "damped": ["boolean"],
    }

    def __init__(self, scores: Any = None, n_largest: int | None = 2, damped: bool = True):
        self.scores = scores
        self.n_largest = n_largest
        self.damped = damped

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """What any component needs."""
        return tuple(dict.fromkeys(need for score in self._parts() for need in score.needs))

    @property
    def reads_parts(self) -> bool:  # type: ignore[override]
        """Whether any component reads parts."""
        return any(score.reads_parts for score in self._parts())

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """Whether any component looks at references."""
        return any(score.compares for score in self._parts())

    @property
    def explains_features(self) -> bool:  # type: ignore[override]
        """Whether a component explains features."""
        return any(score.explains_features for score in self._parts())

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Learn each component's state, and its tail from cross-fitted scores."""
        state: State = {}
        for name, score in self._named().items():
            own = score.fit(references, held_out)
            if not isinstance(score, Combined):
                start, scale = _tail(_log(score, score.cross_fitted(references, held_out)))
                own = {"start": start, "scale": scale} | own
            state |= {f"{name}.{key}": value for key, value in own.items()}
        return state

    def cross_fitted(self, references: Evaluation, held_out: Evaluation) -> Tensor:
        """Score held-out rows with cross-fitted components on the scale of ``fit``, which halves would not learn."""
        scaled = []
        for score in self._parts():
            crossed = score.cross_fitted(references, held_out)
            if not isinstance(score, Combined):
                logs = _log(score, crossed)
                crossed = self._surprise(score, logs, *_tail(logs))
            scaled.append(crossed)
        return self._mean(scaled)

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the largest, the same for all members."""
        scaled = self.surprises(evaluation, state).values()
        return self._mean([mean_of(surprise).expand_as(surprise) for surprise in scaled])

    def surprises(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return each component on the common scale."""
        scaled = {}
        for name, score in self._named().items():
            own = _substate(state, name)
            found = score(evaluation, own)
            if not isinstance(score, Combined):
                found = self._surprise(score, _log(score, found), own["start"], own["scale"])
            scaled[name] = found
        return scaled

    def _surprise(self, score: Score, logs: Tensor, start: Tensor, scale: Tensor) -> Tensor:
        """Minus the logarithm of the share of normal rows that are at least as strange, damped where chosen."""
        surprise = (logs - start[:, None]) / scale[:, None] - log(1 - _BULK[0])
        return damp(surprise) if self.damped and score.is_local else surprise

    def _mean(self, scaled: list[Tensor]) -> Tensor:
        if self.n_largest is None or self.n_largest >= len(scaled):
            return mean_of(scaled)
        return mean_of(torch.stack(scaled).topk(self.n_largest, dim=0).values)

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return each component before the common scale, with those of a Combined in its place."""
        found: list[tuple[str, Tensor]] = []
        for name, score in self._named().items():
            found += components(score, evaluation, _substate(state, name)).items()
        return _by_name(found)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return those of the first component that explains features."""
        name, score = next((n, s) for n, s in self._named().items() if s.explains_features)
        return score.feature_scores(evaluation, _substate(state, name))

    def _parts(self) -> list[Score]:
        chosen = _default() if self.scores is None else self.scores
        if not chosen:
            raise ValueError("Combined needs at least one score, for example Combined(['mahalanobis']).")
        unknown = [score for score in chosen if not (isinstance(score, Score) or score in PLAIN_SCORES)]
        if unknown:
            raise ValueError(f"Combined takes score objects and names among {sorted(PLAIN_SCORES)}, got {unknown!r}.")
        return [resolve(PLAIN_SCORES, score) for score in chosen]

    def _named(self) -> dict[str, Score]:
        return _by_name((_name(score), score) for score in self._parts())


def damp(surprise: Tensor) -> Tensor:
    """Let surprises grow by their logarithm only, where they go beyond the bulk of the held-out rows."""
    end = -log(1 - _BULK[1])
    return surprise.clamp(max=end) + (surprise - end).clamp(min=0).log1p()


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Make a dict; a name that occurs again gets its position behind it."""
    named: dict[str, T] = {}
    for position, (name, value) in enumerate(pairs):
        named[f"{name}_{position}" if name in named else name] = value
    return named


def components(score: Score, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
    """Return a score's components by name, each (n_members, n), before any common scale: itself, if it has none."""
    if isinstance(score, Combined):
        return score.components(evaluation, state)
    return {_name(score): score(evaluation, state)}


def _name(score: Score) -> str:
    return next((name for name, part in PLAIN_SCORES.items() if type(score) is part), type(score).__name__)


def _log(score: Score, values: Tensor) -> Tensor:
    return values if score.is_logarithm else values.clamp(min=ROUNDING).log()


# The bulk of held-out rows whose spread tells how fast the share of stranger rows falls: outliers among them, up to
# a tenth, do not reach it.
_BULK = (0.5, 0.9)


def _tail(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Median of a component's logarithms, and the scale of an exponential law above it, each (n_members,)."""
    low, high = logs.quantile(_BULK[0]), logs.quantile(_BULK[1])
    scale = (high - low) / log((1 - _BULK[0]) / (1 - _BULK[1]))
    return low.expand(len(logs)), scale.clamp(min=SMALLEST_SPREAD).expand(len(logs))


def _substate(state: State, name: str) -> State:
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}
