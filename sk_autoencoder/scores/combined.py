"""Several scores on a common scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import log
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sk_autoencoder._parts import resolve
from sk_autoencoder._rounding import ROUNDING, rounding
from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import mean_of, mean_of_votes
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SMALLEST_SPREAD, OutlierScore, State, of_others
from sk_autoencoder.scores.distances import CodeDistance, RankDistance, ResidualDistance, SampleDistance
from sk_autoencoder.scores.isolation import ReconstructionIsolation, SampleIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO
from sk_autoencoder.thresholds import ExponentialTail, exponential_tail

T = TypeVar("T")

PLAIN_SCORES: dict[str, type[OutlierScore]] = {
    "reconstruction": ReconstructionError,
    "mahalanobis": Mahalanobis,
    "sample_distance": SampleDistance,
    "rank_distance": RankDistance,
    "code_distance": CodeDistance,
    "residual_distance": ResidualDistance,
    "sample_isolation": SampleIsolation,
    "reconstruction_isolation": ReconstructionIsolation,
    "feature_tails": FeatureTails,
    "kl": Divergence,
    "elbo": NegativeELBO,
}


# What makes a row strange unless the user says otherwise; chosen by benchmarks/outliers.py.
def _default(damped: bool) -> tuple[Any, ...]:
    """Return the components of the detector's default score."""
    failed = Combined(["mahalanobis", ResidualDistance(1)], n_largest=None, damped=damped)  # what the network fails on
    return (failed, SampleDistance(1, 2048), RankDistance(1), "sample_isolation", "feature_tails")  # and the row itself


class Combined(OutlierScore):
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
    scores : list of str or OutlierScore, or None, default=None
        The components. One may be a Combined itself, of several scores that are to count as one; it is on the common
        scale already. None is ``Combined(["mahalanobis", ResidualDistance(1)], n_largest=None)``,
        ``SampleDistance(1, 2048)``, ``RankDistance(1)``, "sample_isolation" and "feature_tails".
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

    _settled: list[OutlierScore] | None = None
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
    def required_terms(self) -> tuple[str, ...]:  # type: ignore[override]
        """Terms that any component needs."""
        return tuple(dict.fromkeys(term for score in self._scores() for term in score.required_terms))

    @property
    def uses_terms(self) -> bool:  # type: ignore[override]
        """Whether any component reads terms."""
        return any(score.uses_terms for score in self._scores())

    @property
    def uses_references(self) -> bool:  # type: ignore[override]
        """Whether any component looks at references."""
        return any(score.uses_references for score in self._scores())

    @property
    def explains_features(self) -> bool:  # type: ignore[override]
        """Whether a component explains features."""
        return any(score.explains_features for score in self._scores())

    @property
    def n_votes(self) -> int:  # type: ignore[override]
        """One surprise for each component, with those of a Combined in its place."""
        return sum(component.n_votes for component in self._components().values())

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn each component's state, and the tail of its scores on held-out rows."""
        return {
            f"{name}.{key}": value
            for name, component in self._components().items()
            for key, value in component.fit(references, held_out, others).items()
        }

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the largest, of the mean over all members: the same for each of them."""
        votes = self.votes(evaluation, state)
        return self.combine(mean_of_votes(votes)).expand(len(votes), -1)

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the surprise of each component, with those of a Combined in its place."""
        return torch.cat(
            [component.votes(evaluation, _substate(state, name)) for name, component in self._components().items()],
            dim=-1,
        )

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Share each surprise among the features."""
        components = self._components().items()
        return torch.cat([own.feature_votes(evaluation, _substate(state, name)) for name, own in components], dim=-2)

    def combine(self, votes: Tensor) -> Tensor:
        """Return the mean of the largest components; those without a vote are usual."""
        scaled, n_largest = self._scaled(votes)
        return mean_of(scaled if n_largest == len(scaled) else scaled.topk(n_largest, dim=0).values)

    def weights(self, votes: Tensor) -> Tensor:
        """Return how much each surprise counts: those of the largest components have equal weights, others none."""
        scaled, n_largest = self._scaled(votes)
        chosen = torch.zeros_like(scaled).scatter_(0, scaled.topk(n_largest, dim=0).indices, 1 / n_largest)
        within = (component.weights(own) for component, own in self._split(votes))
        return torch.cat([share[..., None] * own for share, own in zip(chosen, within, strict=True)], dim=-1)

    def combine_features(self, votes: Tensor, features: Tensor) -> Tensor:
        """Add up what features contribute to the largest components, which have equal weights."""
        even = torch.full_like(features, 1 / features.shape[-1])
        shares = torch.where(votes[..., None].abs() > _SMALLEST_ADDEND, features / votes[..., None], even)
        weights = self.weights(votes) * _at_least_usual(votes)
        return (weights[..., None] * shares).sum(dim=-2)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return what each feature adds to the score, of the mean over all members."""
        votes = mean_of_votes(self.votes(evaluation, state))
        features = mean_of_votes(self.feature_votes(evaluation, state))
        found = self.combine_features(votes, features)
        return found.expand(len(evaluation.target), *found.shape)

    def components(self, evaluation: Evaluation, state: State, name: str = "") -> dict[str, Tensor]:
        """Return each component before the common scale, with those of a Combined in its place."""
        del name
        return _by_name(
            pair
            for own, component in self._components().items()
            for pair in component.components(evaluation, _substate(state, own), own).items()
        )

    def settled(self) -> Combined:
        """Return one like this that resolves its components once, not in each call."""
        settled = Combined(self.scores, self.n_largest, self.damped)
        settled._settled = settled._scores()
        return settled

    def _scores(self) -> list[OutlierScore]:
        if self._settled is not None:
            return self._settled
        chosen = _default(self.damped) if self.scores is None else self.scores
        if not chosen:
            raise ValueError("Combined needs at least one score, for example Combined(['mahalanobis']).")
        unknown = [score for score in chosen if not (isinstance(score, OutlierScore) or score in PLAIN_SCORES)]
        if unknown:
            raise ValueError(f"Combined takes score objects and names among {sorted(PLAIN_SCORES)}, got {unknown!r}.")
        return [resolve(PLAIN_SCORES, score).settled() for score in chosen]

    def _components(self) -> dict[str, Combined | _Surprise]:
        """Return each score on the common scale, by name; a Combined is on it already."""
        named = _by_name((name_of(score), score) for score in self._scores())
        return {
            name: score if isinstance(score, Combined) else _Surprise(score, self.damped and score.is_local)
            for name, score in named.items()
        }

    def _split(self, votes: Tensor) -> Iterator[tuple[Combined | _Surprise, Tensor]]:
        """Pair each component with its own of (..., n_votes)."""
        components = list(self._components().values())
        sizes = [component.n_votes for component in components]
        return zip(components, _at_least_usual(votes).split(sizes, dim=-1), strict=True)

    def _scaled(self, votes: Tensor) -> tuple[Tensor, int]:
        """Return one surprise of each component, (n_components, ...), and how many of them are averaged."""
        scaled = torch.stack([component.combine(own) for component, own in self._split(votes)])
        return scaled, len(scaled) if self.n_largest is None else min(self.n_largest, len(scaled))


class _Surprise:
    """One score on the common scale; with the law of its logarithms on held-out rows in front of its own state."""

    n_votes = 1

    def __init__(self, score: OutlierScore, damped: bool):
        self.score = score
        self.damped = damped

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> State:
        """Learn the score's state, and the law."""
        own = self.score.fit(references, held_out, others)
        logs = of_others(self._log(self.score(held_out, own)), others)
        return _tail(logs) | {"lowest": torch.stack([*map(_lowest, logs)])} | own

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Minus the logarithm of the share of normal rows that are at least as strange, damped where chosen.

        NaN where a row is less strange than nearly all held-out rows: the member was trained on it, or on a near copy.
        """
        logs = self._log(self.score.votes(evaluation, state))
        start, scale, base, lowest = (state[name][:, None, None] for name in (*_TAIL, "lowest"))
        surprise = (logs - start) / scale + base
        surprise = damp(surprise) if self.damped else surprise
        return surprise.masked_fill(logs < lowest - rounding(lowest), torch.nan)

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Share the surprise among the features, by the squares of what they add to the score.

        Squares, so that many usual features do not hide one that stands out. Features that make a row less strange, as
        those of a quadratic form may, have no share. A score that does not explain features adds nothing.
        """
        votes = self.votes(evaluation, state)
        if not self.score.explains_features:
            return votes.new_zeros(*votes.shape, evaluation.target.shape[-1])
        addends = self.score.feature_scores(evaluation, state).clamp(min=_SMALLEST_ADDEND)
        addends = (addends / addends.amax(dim=-1, keepdim=True)).square()
        return (votes * addends / addends.sum(dim=-1, keepdim=True))[..., None, :]

    def combine(self, votes: Tensor) -> Tensor:
        """Return the only one."""
        return votes[..., 0]

    def weights(self, votes: Tensor) -> Tensor:
        """Return one."""
        return torch.ones_like(votes)

    def components(self, evaluation: Evaluation, state: State, name: str) -> dict[str, Tensor]:
        """Return the score before the common scale."""
        return self.score.components(evaluation, state, name)

    def _log(self, values: Tensor) -> Tensor:
        return values if self.score.is_log_scale else values.clamp(min=ROUNDING).log()


def damp(surprise: Tensor) -> Tensor:
    """Let surprises grow by their logarithm only, where they go beyond the bulk of the held-out rows."""
    return surprise.clamp(max=_BULK) + (surprise - _BULK).clamp(min=0).log1p()


def name_of(score: OutlierScore) -> str:
    """Return the name of a score in the registry, or that of its class."""
    return next((name for name, kind in PLAIN_SCORES.items() if type(score) is kind), type(score).__name__)


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Make a dict; a name that occurs again gets its position behind it."""
    named: dict[str, T] = {}
    for position, (name, value) in enumerate(pairs):
        named[f"{name}_{position}" if name in named else name] = value
    return named


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


def _substate(state: State, name: str) -> State:
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}
