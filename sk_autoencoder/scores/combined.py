"""Combination of several scores on a common scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sk_autoencoder._parts import resolve
from sk_autoencoder._validation import integers
from sk_autoencoder.blocks import mean_of, mean_of_votes
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State
from sk_autoencoder.scores.dependence import DependenceTree
from sk_autoencoder.scores.distances import (
    CodeDistance,
    RankDistance,
    RelativeDistance,
    ResidualDistance,
    SampleDistance,
)
from sk_autoencoder.scores.isolation import ReconstructionIsolation, SampleIsolation
from sk_autoencoder.scores.residual import Mahalanobis, ReconstructionError, SensorError
from sk_autoencoder.scores.surprises import MEDIAN_SURPRISE, SMALLEST_ADDEND, Surprise, joined, substate
from sk_autoencoder.scores.tails import FeatureTails
from sk_autoencoder.scores.variational import Divergence, NegativeELBO

T = TypeVar("T")

PLAIN_SCORES: dict[str, type[OutlierScore]] = {
    "reconstruction": ReconstructionError,
    "mahalanobis": Mahalanobis,
    "sensor_error": SensorError,
    "sample_distance": SampleDistance,
    "rank_distance": RankDistance,
    "relative_distance": RelativeDistance,
    "code_distance": CodeDistance,
    "residual_distance": ResidualDistance,
    "sample_isolation": SampleIsolation,
    "reconstruction_isolation": ReconstructionIsolation,
    "feature_tails": FeatureTails,
    "dependence_tree": DependenceTree,
    "kl": Divergence,
    "elbo": NegativeELBO,
}


def _default(damped: bool, clipped: bool) -> tuple[Any, ...]:
    """Return the components of the detector's default score, which were chosen with benchmarks/outliers.py."""
    of_residual = Combined(["mahalanobis", ResidualDistance(1)], n_largest=None, damped=damped, clipped=clipped)
    of_sample = (SampleDistance(1, 2048), RankDistance(1), "sample_isolation", "feature_tails")
    return (of_residual, *of_sample)


def for_novelty(has_shape: bool) -> Combined:
    """Return the detector's default score with ``novelty=True``, which was chosen with benchmarks/outliers.py.

    Without outliers among the training samples, more references are better; isolation, damping and clipping, which
    contaminated training sets need, lower the accuracy. The features of samples that have a shape, such as images and
    series, are neighbors of each other: how pairs of them depend on each other says little.
    """
    tree = [] if has_shape else ["dependence_tree"]
    of_dependence = Combined(["mahalanobis", ResidualDistance(1), *tree], n_largest=2, damped=False, clipped=False)
    of_sample = (SampleDistance(1, 3072), "relative_distance", "feature_tails")
    return Combined([of_dependence, *of_sample], n_largest=3, damped=False, clipped=False)


class Combined(OutlierScore):
    """Several scores on a common scale, of which the largest for each sample are averaged.

    Each score is transformed to a surprise: the negative logarithm of the fraction of normal samples with a score at
    least as large. Let q be the median of the logarithms of the scores of held-out samples (of the scores themselves,
    if they are logarithms already). Above q an exponential distribution is assumed, so that the surprise is
    ``log(2) + (log(score) - q) / s``. The scale s is estimated between the median and the 90th percentile, and is
    therefore robust to up to 10 % of outliers. With the default ``n_largest=2``, a sample is outlying if two components
    agree that it is, whatever the others say: local and global scores miss different outliers.

    Local scores deviate from this distribution if the training set contains outliers: outliers that have near neighbors
    and small reconstruction errors get lower scores than a few normal samples at the boundary of the distribution. So
    beyond the 80th percentile the surprise s of local scores is damped to ``b + log(1 + s - b)``, with b = log(5), and
    an outlier with a high global score is ranked above such normal samples.

    Rare outliers, a few in a thousand samples, have distances far beyond those of all other samples. So with damping, a
    sample's score is at least ``log(2) + (s - log(10)) / e``, where s is the undamped surprise of its residual's
    distance or of its own (scores with ``keeps_extremes``). The scale e is the mean excess over log(10) of the
    surprises of held-out samples beyond the 90th percentile. It is robust to up to 2 % of outliers, and at least 0.75.

    Surprises are limited from below to log(2), the surprise of the median held-out sample, or to 0 with
    ``clipped=False``. They are averaged over the ensemble members before the largest are chosen.

    The distribution of each component is estimated for each member from the held-out samples of other members, scored
    by the members that held them out.

    Parameters
    ----------
    scores : list of str or OutlierScore, or None, default=None
        The components. A Combined among them counts as one component, and is not transformed again. None is
        ``Combined(["mahalanobis", ResidualDistance(1)], n_largest=None)``, ``SampleDistance(1, 2048)``,
        ``RankDistance(1)``, "sample_isolation" and "feature_tails".
    n_largest : int or None, default=2
        Number of components that are averaged, the largest for each sample; all if there are fewer. 1 is the maximum
        (Tippett's method of combining p-values), None is the mean of all (Fisher's method).
    damped : bool, default=True
        Whether local components (``is_local``: all but isolation, feature tails and dependence) are damped beyond the
        80th percentile. A Combined among ``scores`` has its own parameter ``damped``; the one in the default components
        gets this value. True is better where more than a few percent of the training set are outliers.
    clipped : bool, default=True
        Whether surprises below that of the median held-out sample are replaced by it, and members that were trained on
        a sample, or on a near copy of it, have no vote. False is better if all training samples are inliers: then
        samples of dense regions are less outlying than the median, and copies of training samples least of all. For
        a Combined among ``scores``, see ``damped``.

    References
    ----------
    R. A. Fisher, "Statistical Methods for Research Workers", 1932; L. H. C. Tippett, "The Methods of Statistics", 1931.
    """

    is_log_scale = True
    _resolved: list[OutlierScore] | None = None
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "scores": [list, tuple, None],
        "n_largest": [integers(1), None],
        "damped": ["boolean"],
        "clipped": ["boolean"],
    }

    def __init__(self, scores: Any = None, n_largest: int | None = 2, damped: bool = True, clipped: bool = True):
        self.scores = scores
        self.n_largest = n_largest
        self.damped = damped
        self.clipped = clipped

    @property
    def required_terms(self) -> tuple[str, ...]:  # type: ignore[override]
        """Terms that the components need."""
        return tuple(dict.fromkeys(term for score in self._scores() for term in score.required_terms))

    @property
    def uses_terms(self) -> bool:  # type: ignore[override]
        """Whether any component reads terms."""
        return any(score.uses_terms for score in self._scores())

    @property
    def uses_network(self) -> bool:  # type: ignore[override]
        """Whether at least half of the components use the network."""
        scores = self._scores()
        return 2 * sum(score.uses_network for score in scores) >= len(scores)

    @property
    def uses_references(self) -> bool:  # type: ignore[override]
        """Whether any component uses references."""
        return any(score.uses_references for score in self._scores())

    @property
    def explains_features(self) -> bool:  # type: ignore[override]
        """Whether any component explains features."""
        return any(score.explains_features for score in self._scores())

    @property
    def of_extremes(self) -> tuple[bool, ...]:
        """Which votes are lower limits of the score; the others are the surprises that are averaged."""
        return tuple(vote for component in self._components().values() for vote in component.of_extremes)

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Learn the state of each component, and the distribution of its scores on held-out samples."""
        return self.fit_votes(references, held_out, others)[0]

    def fit_votes(
        self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None
    ) -> tuple[State, Tensor]:
        """Learn the state, and return it with the votes on held-out samples, whose scores are computed only once."""
        components = self._components()
        fitted = [component.fit_votes(references, held_out, others) for component in components.values()]
        states, votes = zip(*fitted, strict=True)
        return joined(zip(components, states, strict=True)), torch.cat(votes, dim=-1)

    def check_features(self, n_features: int) -> None:
        """Check each component."""
        for score in self._scores():
            score.check_features(n_features)

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Replace the scales of each component, and the distribution of its scores."""
        return joined(
            (name, component.rescaled(held_out, substate(state, name)))
            for name, component in self._components().items()
        )

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the mean of the largest surprises, averaged over the members; each member gets the same score."""
        votes = self.votes(evaluation, state)
        return self.combine(mean_of_votes(votes)).expand(len(votes), -1)

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the votes of all components, including those of nested Combined scores.

        A component has its surprise, and where it ``keeps_extremes`` and is damped, a lower limit of the score.
        """
        return torch.cat(
            [component.votes(evaluation, substate(state, name)) for name, component in self._components().items()],
            dim=-1,
        )

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Divide each vote among the features."""
        return torch.cat(
            [
                component.feature_votes(evaluation, substate(state, name))
                for name, component in self._components().items()
            ],
            dim=-2,
        )

    def combine(self, votes: Tensor) -> Tensor:
        """Return the mean of the largest surprises, or a larger lower limit; NaN is replaced by the lowest surprise."""
        mean, places = self.mean_of_largest(votes), self._extremes()
        return torch.maximum(mean, self._bounded(votes[..., places]).amax(dim=-1)) if places else mean

    def evidence(self, votes: Tensor) -> Tensor:
        """Return how unusual samples are by isolation and residual, and by isolation and feature tails.

        The smaller of the two numbers, which are 0 and 1 where 7 and 1.5 % of normal samples are more unusual. All are
        0 if there are no such components.
        """
        unusual = self.unusual(votes)
        if not {SampleIsolation, ResidualDistance, FeatureTails} <= set(unusual):
            return super().evidence(votes)
        others = torch.stack([unusual[ResidualDistance], unusual[FeatureTails]], dim=-1)
        return others.minimum(unusual[SampleIsolation][..., None])

    def unusual(self, votes: Tensor) -> dict[type[OutlierScore], Tensor]:
        """Return how unusual samples are by each kind of component, those of nested Combined scores included."""
        found: dict[type[OutlierScore], Tensor] = {}
        for component, own in self._split_bounded(votes):
            found |= component.unusual(own)
        return found

    def mean_of_largest(self, votes: Tensor) -> Tensor:
        """Return the mean of the largest surprises; NaN is replaced by the lowest surprise."""
        surprises, n_largest = self._surprises(votes)
        return mean_of(surprises if n_largest == len(surprises) else surprises.topk(n_largest, dim=0).values)

    def weights(self, votes: Tensor) -> Tensor:
        """Return the weight of each vote in the mean: equal for the largest components, 0 for the others.

        Components that are tied for the last places share them.
        """
        surprises, n_largest = self._surprises(votes)
        smallest = surprises.topk(n_largest, dim=0).values.amin(dim=0)
        larger, tied = (mask.to(surprises.dtype) for mask in (surprises > smallest, surprises == smallest))
        of_components = (larger + tied * (n_largest - larger.sum(dim=0)) / tied.sum(dim=0)) / n_largest
        within = (component.weights(own) for component, own in self._split_bounded(votes))
        return torch.cat([outer[..., None] * inner for outer, inner in zip(of_components, within, strict=True)], dim=-1)

    def combine_features(self, votes: Tensor, features: Tensor) -> Tensor:
        """Return the weighted sum of the contributions to the votes, with the weights of ``weights``.

        If the score is a lower limit, the contributions to the mean are multiplied so that they add up to it. They
        explain it better: the nearest residual or sample of an outlier may be that of another outlier.
        """
        even = torch.full_like(features, 1 / features.shape[-1])
        shares = torch.where(votes[..., None].abs() > SMALLEST_ADDEND, features / votes[..., None], even)
        weights = self.weights(votes) * self._bounded(votes)
        raised = self.combine(votes) / self.mean_of_largest(votes).clamp(min=SMALLEST_ADDEND)
        return (weights[..., None] * shares).sum(dim=-2) * raised[..., None]

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the contribution of each feature to the score averaged over the members."""
        votes = mean_of_votes(self.votes(evaluation, state))
        features = mean_of_votes(self.feature_votes(evaluation, state))
        scores = self.combine_features(votes, features)
        return scores.expand(len(evaluation.target), *scores.shape)

    def components(self, evaluation: Evaluation, state: State, name: str = "") -> dict[str, Tensor]:
        """Return the scores of all components before they are transformed to surprises."""
        del name
        return _by_name(
            pair
            for component_name, component in self._components().items()
            for pair in component.components(evaluation, substate(state, component_name), component_name).items()
        )

    def settled(self) -> Combined:
        """Return a copy whose components are resolved once, instead of in each call."""
        settled = Combined(self.scores, self.n_largest, self.damped, self.clipped)
        settled._resolved = settled._scores()
        return settled

    def _scores(self) -> list[OutlierScore]:
        if self._resolved is not None:
            return self._resolved
        chosen = _default(self.damped, self.clipped) if self.scores is None else self.scores
        if not chosen:
            raise ValueError("Combined needs at least one score, for example Combined(['mahalanobis']).")
        unknown = [score for score in chosen if not (isinstance(score, OutlierScore) or score in PLAIN_SCORES)]
        if unknown:
            raise ValueError(f"Combined takes score objects and names among {sorted(PLAIN_SCORES)}, got {unknown!r}.")
        return [resolve(PLAIN_SCORES, score).settled() for score in chosen]

    def _components(self) -> dict[str, Combined | Surprise]:
        """Return the components by name, each transformed to surprises; a Combined returns surprises already."""
        named = _by_name((name_of(score), score) for score in self._scores())
        return {
            name: score
            if isinstance(score, Combined)
            else Surprise(score, self.damped and score.is_local, self.clipped)
            for name, score in named.items()
        }

    def _split_bounded(self, votes: Tensor) -> Iterator[tuple[Combined | Surprise, Tensor]]:
        """Limit votes (..., n_votes) from below, and pair each component with its own."""
        components = list(self._components().values())
        sizes = [len(component.of_extremes) for component in components]
        return zip(components, self._bounded(votes).split(sizes, dim=-1), strict=True)

    def _bounded(self, votes: Tensor) -> Tensor:
        """Limit surprises from below, and replace NaN by the limit."""
        lowest = MEDIAN_SURPRISE if self.clipped else 0.0
        return votes.nan_to_num(nan=lowest).clamp(min=lowest)

    def _surprises(self, votes: Tensor) -> tuple[Tensor, int]:
        """Return one surprise for each component, (n_components, ...), and the number of them that are averaged."""
        surprises = torch.stack(
            [component.mean_of_largest(component_votes) for component, component_votes in self._split_bounded(votes)]
        )
        return surprises, len(surprises) if self.n_largest is None else min(self.n_largest, len(surprises))

    def _extremes(self) -> list[int]:
        """Return the places of those votes that are lower limits of the score."""
        return [place for place, is_limit in enumerate(self.of_extremes) if is_limit]


def name_of(score: OutlierScore) -> str:
    """Return the name of a score in the registry, or that of its class."""
    return next((name for name, kind in PLAIN_SCORES.items() if type(score) is kind), type(score).__name__)


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Make a dict of (name, value) pairs; the position is appended to names that occurred before."""
    named: dict[str, T] = {}
    for position, (name, value) in enumerate(pairs):
        named[f"{name}_{position}" if name in named else name] = value
    return named
