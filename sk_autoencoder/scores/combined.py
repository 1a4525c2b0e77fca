"""Several scores on a common scale."""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import ROUNDING, rounding
from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import mean_of, mean_of_votes
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SMALLEST_SPREAD, Score, State, of_others
from sk_autoencoder.scores.distances import CodeDistance, RankDistance, ResidualDistance, RowDistance
from sk_autoencoder.scores.isolation import ReconstructionIsolation, RowIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO
from sk_autoencoder.thresholds import ExponentialTail, exponential_tail

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
def _default(damped: bool) -> tuple[Any, ...]:
    """Return the components of the detector's default score."""
    failed = Combined(["mahalanobis", ResidualDistance(1)], n_largest=None, damped=damped)  # what the network fails on
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

    No surprise is smaller than that of the median held-out row, log(2): what is usual by one component says nothing
    more. Surprises are averaged over the members before the largest are chosen.

    Each component's law is learnt for a member from the held-out rows of the others, as those members score them.

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
        Whether local components (``is_local``), all but isolation and tails, are damped beyond the 90th percentile. A
        Combined among ``scores`` has its own; in the default ones it is this. False finds more where outliers are rare
        or the training set has none, and less where more than a few percent of the training set are outliers.

    References
    ----------
    R. A. Fisher, "Statistical Methods for Research Workers", 1932; L. H. C. Tippett, "The Methods of Statistics", 1931.
    """

    _settled: list[Score] | None = None
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

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn each component's state, and the tail of its scores on held-out rows."""
        state: State = {}
        for name, score in self._named().items():
            own = score.fit(references, held_out, others)
            if not isinstance(score, Combined):
                logs = of_others(_log(score, score(held_out, own)), others)
                own = _tail(logs) | {"lowest": torch.stack([*map(_lowest, logs)])} | own
            state |= {f"{name}.{key}": value for key, value in own.items()}
        return state

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the largest, of the mean over all members: the same for each of them."""
        terms = self.terms(evaluation, state)
        return self.combine(mean_of_votes(terms)).expand(len(terms), -1)

    def terms(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the surprise of each component, with those of a Combined in its place."""
        return torch.cat(self._found(evaluation, state), dim=-1)

    def combine(self, terms: Tensor) -> Tensor:
        """Return the mean of the largest components; those without a vote are usual."""
        parts, terms = self._parts(), _at_least_usual(terms)
        scaled = [part.combine(own) for part, own in zip(parts, _split(terms, parts), strict=True)]
        if self.n_largest is None or self.n_largest >= len(scaled):
            return mean_of(scaled)
        return mean_of(torch.stack(scaled).topk(self.n_largest, dim=0).values)

    def combine_features(self, terms: Tensor, features: Tensor) -> Tensor:
        """Add up what features contribute to the largest components, which have equal weights."""
        even = torch.full_like(features, 1 / features.shape[-1])
        shares = torch.where(terms[..., None].abs() > _SMALLEST_ADDEND, features / terms[..., None], even)
        weights = self._weights(terms) * _at_least_usual(terms)
        return (weights[..., None] * shares).sum(dim=-2)

    def _weights(self, terms: Tensor) -> Tensor:
        """Return how much each surprise counts: those of the largest components have equal weights, others none."""
        parts, terms = self._parts(), _at_least_usual(terms)
        own = _split(terms, parts)
        scaled = torch.stack([part.combine(t) for part, t in zip(parts, own, strict=True)])
        n_largest = len(parts) if self.n_largest is None else min(self.n_largest, len(parts))
        chosen = torch.zeros_like(scaled).scatter_(0, scaled.topk(n_largest, dim=0).indices, 1 / n_largest)
        weights = [
            part._weights(t) * c[..., None] if isinstance(part, Combined) else c[..., None]
            for part, t, c in zip(parts, own, chosen, strict=True)
        ]
        return torch.cat(weights, dim=-1)

    def feature_terms(self, evaluation: Evaluation, state: State) -> Tensor:
        """Share each surprise among the features, by the squares of what they add to the component's own score.

        Squares, so that many usual features do not hide one that stands out. Features that make a row less strange by
        a component, as those of a quadratic form may, have no share of it. A component that does not explain features
        adds nothing.
        """
        shares = []
        for (name, score), terms in zip(self._named().items(), self._found(evaluation, state), strict=True):
            own = _substate(state, name)
            if isinstance(score, Combined):
                shares.append(score.feature_terms(evaluation, own))
            elif score.explains_features:
                addends = score.feature_scores(evaluation, own).clamp(min=_SMALLEST_ADDEND)
                addends = (addends / addends.amax(dim=-1, keepdim=True)).square()
                shares.append((terms * addends / addends.sum(dim=-1, keepdim=True))[..., None, :])
            else:
                shares.append(terms.new_zeros(*terms.shape, evaluation.target.shape[-1]))
        return torch.cat(shares, dim=-2)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature adds to the score, of the mean over all members."""
        terms = mean_of_votes(self.terms(evaluation, state))
        features = mean_of_votes(self.feature_terms(evaluation, state))
        found = self.combine_features(terms, features)
        return found.expand(len(evaluation.target), *found.shape)

    def _found(self, evaluation: Evaluation, state: State) -> list[Tensor]:
        """Return the terms of each component, on the common scale."""
        found = []
        for name, score in self._named().items():
            own = _substate(state, name)
            terms = score.terms(evaluation, own)
            if not isinstance(score, Combined):
                terms = self._surprise(score, _log(score, terms), own)
            found.append(terms)
        return found

    def _surprise(self, score: Score, logs: Tensor, state: State) -> Tensor:
        """Minus the logarithm of the share of normal rows that are at least as strange, damped where chosen.

        NaN where a row is less strange than nearly all held-out rows: the member was trained on it, or on a near copy.
        """
        start, scale, base, lowest = (state[name][:, None, None] for name in (*_TAIL, "lowest"))
        surprise = (logs - start) / scale + base
        surprise = damp(surprise) if self.damped and score.is_local else surprise
        return surprise.masked_fill(logs < lowest - rounding(lowest), torch.nan)

    def components(self, evaluation: Evaluation, state: State) -> dict[str, Tensor]:
        """Return each component before the common scale, with those of a Combined in its place."""
        found: list[tuple[str, Tensor]] = []
        for name, score in self._named().items():
            found += components(score, evaluation, _substate(state, name)).items()
        return _by_name(found)

    def settled(self) -> Combined:
        """Return one like this that resolves its components once, not in each call."""
        settled = Combined(self.scores, self.n_largest, self.damped)
        settled._settled = [part.settled() for part in self._parts()]
        return settled

    def _parts(self) -> list[Score]:
        if self._settled is not None:
            return self._settled
        chosen = _default(self.damped) if self.scores is None else self.scores
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
    return surprise.clamp(max=_BULK) + (surprise - _BULK).clamp(min=0).log1p()


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


_TAIL = ExponentialTail._fields
_USUAL = log(2)  # surprise of the median held-out row
_BULK = log(10)  # surprise of the 90th percentile, where the bulk of held-out rows ends
_FEW = 0.01  # share of the held-out rows that may be as near to training rows as these are to themselves
_SMALLEST_ADDEND = 1e-300


def _tail(logs: Tensor) -> State:
    """Return the law of a component's logarithms (n_members, n), each (n_members,)."""
    laws = torch.tensor([exponential_tail(own) for own in logs.cpu().numpy()], dtype=torch.float64, device=logs.device)
    laws[:, 1].clamp_(min=SMALLEST_SPREAD)
    return dict(zip(_TAIL, laws.T.contiguous(), strict=True))


def _lowest(logs: Tensor) -> Tensor:
    """Return what nearly all of a member's held-out rows (n,) exceed, but for those that equal a reference."""
    lowest = logs.min()
    above = logs[logs > lowest + rounding(lowest)]
    return above.quantile(_FEW) if above.numel() else lowest


def _at_least_usual(terms: Tensor) -> Tensor:
    return terms.nan_to_num(nan=_USUAL).clamp(min=_USUAL)


def _split(terms: Tensor, parts: list[Score]) -> tuple[Tensor, ...]:
    """Cut (..., n_terms) into what belongs to each part."""
    return terms.split([_n_terms(part) for part in parts], dim=-1)


def _n_terms(score: Score) -> int:
    return sum(map(_n_terms, score._parts())) if isinstance(score, Combined) else 1


def _substate(state: State, name: str) -> State:
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}
