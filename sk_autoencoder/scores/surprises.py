"""Surprises: scores on a common scale, by the distribution of their logarithms on held-out samples."""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import torch
from torch import Tensor

from sk_autoencoder._rounding import ROUNDING, rounding
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import SCORED_AT_ONCE, SMALLEST_SPREAD, OutlierScore, State, of_others
from sk_autoencoder.thresholds import ExponentialTail, exponential_tail

__all__ = ["MEDIAN_SURPRISE", "SMALLEST_ADDEND", "Surprise", "damp", "joined", "substate"]

_TAIL = ExponentialTail._fields  # start, scale, base
_OWN = "score"  # prefix of the entries of a state that are the score's own
MEDIAN_SURPRISE = log(2)  # surprise of the median held-out sample
_P80_SURPRISE, _P90_SURPRISE = log(5), log(10)  # surprises of percentiles of held-out samples
_UNUSUAL = -log(0.07), -log(0.015)  # surprises from which on, and up to which, a sample counts more and more
_MOST_OUTLIERS = 0.02  # fraction of the held-out samples whose excess is limited
_SMALLEST_EXCESS = 0.75
_FEW = 0.01  # fraction of the held-out samples that may be near copies of training samples
SMALLEST_ADDEND = 1e-300


class Surprise:
    """A score transformed to surprises.

    Its state holds that of the score, with the prefix ``_OWN``, and the distribution of its logarithms on held-out
    samples.
    """

    def __init__(self, score: OutlierScore, damped: bool, clipped: bool):
        self.score = score
        self.damped = damped
        self.clipped = clipped
        self.of_extremes = (False, True) if damped and score.keeps_extremes else (False,)

    def fit_votes(self, references: Evaluation, held_out: Evaluation, others: Tensor | None) -> tuple[State, Tensor]:
        """Learn the state and the distribution of the logarithms; return them with the votes on held-out samples."""
        own = self.score.fit(references, held_out, others)
        logs = self._logs_of_pieces(held_out, own)
        state = joined([(_OWN, own)]) | self._distribution(of_others(logs, others))
        return state, self._votes(logs, state)

    def rescaled(self, held_out: Evaluation, state: State) -> State:
        """Replace the scales of the score, and the distribution of its logarithms."""
        own = self.score.rescaled(held_out, substate(state, _OWN))
        return joined([(_OWN, own)]) | self._distribution(self._logs_of_pieces(held_out, own))

    def votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the votes of each member, (n_members, n, n_votes)."""
        return self._votes(self._log(self.score(evaluation, substate(state, _OWN))), state)

    def _logs_of_pieces(self, held_out: Evaluation, own: State) -> Tensor:
        return self._log(torch.cat([self.score(piece, own) for piece in held_out.split(SCORED_AT_ONCE)], dim=1))

    def _distribution(self, logs: Tensor) -> State:
        """Describe each member's logarithms (n_members, n) by what votes need."""
        state = _tail(logs)
        if self.clipped:
            state["lowest"] = torch.stack([*map(_lowest, logs)])
        if any(self.of_extremes):
            state["excess"] = _excess(_surprise(logs, state))
        return state

    def _votes(self, logs: Tensor, state: State) -> Tensor:
        """Negative logarithm of the fraction of normal samples with a score at least as large, optionally damped.

        The second vote, if there is one, is a lower limit of the score of a sample that is far beyond all others. If
        clipped, NaN for scores below nearly all held-out scores, which is taken as a sign that the member was trained
        on the sample or on a near copy of it.
        """
        surprise = _surprise(logs, state)
        votes = [damp(surprise) if self.damped else surprise]
        if any(self.of_extremes):
            votes.append(MEDIAN_SURPRISE + (surprise - _P90_SURPRISE) / state["excess"][:, None])
        if self.clipped:
            lowest = state["lowest"][:, None]
            trained_on = logs < lowest - rounding(lowest)
            votes = [vote.masked_fill(trained_on, torch.nan) for vote in votes]
        return torch.stack(votes, dim=-1)

    def feature_votes(self, evaluation: Evaluation, state: State) -> Tensor:
        """Divide each vote among the features, in proportion to the squares of their feature scores.

        Squares emphasize few large feature scores over many small ones. Negative feature scores, which a quadratic form
        may have, count as 0. All contributions are 0 if the score does not explain features.
        """
        votes = self.votes(evaluation, state)
        if not self.score.explains_features:
            return votes.new_zeros(*votes.shape, evaluation.target.shape[-1])
        addends = self.score.feature_scores(evaluation, substate(state, _OWN)).clamp(min=SMALLEST_ADDEND)
        addends = (addends / addends.amax(dim=-1, keepdim=True)).square()
        return votes[..., None] * (addends / addends.sum(dim=-1, keepdim=True))[..., None, :]

    def unusual(self, votes: Tensor) -> dict[type[OutlierScore], Tensor]:
        """Return where damped surprises are between two limits, 0 to 1, by the kind of the component."""
        damped = votes[..., 0] if self.damped else damp(votes[..., 0])
        low, high = damp(votes.new_tensor(_UNUSUAL))
        return {type(self.score): ((damped - low) / (high - low)).clamp(0, 1)}

    def mean_of_largest(self, votes: Tensor) -> Tensor:
        """Return the only surprise."""
        return votes[..., 0]

    def weights(self, votes: Tensor) -> Tensor:
        """Return 1 for the surprise."""
        weights = torch.zeros_like(votes)
        weights[..., 0] = 1
        return weights

    def components(self, evaluation: Evaluation, state: State, name: str) -> dict[str, Tensor]:
        """Return the score before it is transformed to a surprise."""
        return self.score.components(evaluation, substate(state, _OWN), name)

    def _log(self, values: Tensor) -> Tensor:
        return values if self.score.is_log_scale else values.clamp(min=ROUNDING).log()


def damp(surprise: Tensor) -> Tensor:
    """Damp surprises s above b = log(5) to ``b + log(1 + s - b)``."""
    return surprise.clamp(max=_P80_SURPRISE) + (surprise - _P80_SURPRISE).clamp(min=0).log1p()


def _tail(logs: Tensor) -> State:
    """Fit an ``ExponentialTail`` to each member's logarithms (n_members, n); return its fields, each (n_members,)."""
    tails = [exponential_tail(member_logs) for member_logs in logs.cpu().numpy()]
    parameters = torch.tensor(tails, dtype=torch.float64, device=logs.device)
    parameters[:, 1].clamp_(min=SMALLEST_SPREAD)  # the scale
    return dict(zip(_TAIL, parameters.T.contiguous(), strict=True))


def _surprise(logs: Tensor, state: State) -> Tensor:
    """Transform logarithms (n_members, n) to surprises, by the ``ExponentialTail`` of each member."""
    start, scale, base = (state[name][:, None] for name in _TAIL)
    return (logs - start) / scale + base


def _excess(surprises: Tensor) -> Tensor:
    """Estimate each member's mean excess over log(10) of those surprises (n_members, n) that exceed it, (n_members,).

    Larger values than the 98th percentile are replaced by it. The sum is divided by what it would be for an exponential
    distribution with mean 1.
    """
    excesses = (surprises - _P90_SURPRISE).clamp(min=0)
    excesses = excesses.minimum(excesses.quantile(1 - _MOST_OUTLIERS, dim=1, keepdim=True))
    return (excesses.mean(dim=1) / (0.1 - _MOST_OUTLIERS)).clamp(min=_SMALLEST_EXCESS)


def _lowest(logs: Tensor) -> Tensor:
    """Return a low quantile of a member's held-out logarithms (n,), without those tied with the minimum."""
    lowest = logs.min()
    above = logs[logs > lowest + rounding(lowest)]
    return above.quantile(_FEW) if above.numel() else lowest


def joined(states: Iterable[tuple[str, State]]) -> State:
    """Join the states of components, whose entries get their names."""
    return {f"{name}.{key}": value for name, state in states for key, value in state.items()}


def substate(state: State, name: str) -> State:
    """Return the entries of the state that belong to a component, without its name."""
    return {key.partition(".")[2]: value for key, value in state.items() if key.partition(".")[0] == name}
