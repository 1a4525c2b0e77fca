"""Tail probabilities of single features."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State, all_alike, by_source, counts_below, some


class FeatureTails(OutlierScore):
    """Sum over features of the negative log tail probability of each value; the network is not used.

    The sum over features of ``-log(p)``, where p is the smaller of the fractions of reference samples less than or
    equal to the value and greater than or equal to it. Many unusual values raise the score more than a single extreme
    one.

    Parameters
    ----------
    n_references : int, default=4096
        Number of training samples that define the distribution of each feature; a detector provides at most 4096. For
        samples or codes wider than 128 the number is reduced in inverse proportion to the width, but not below 256.

    References
    ----------
    Z. Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions", TKDE 2022.
    """

    uses_terms = False
    uses_network = False
    explains_features = True
    is_local = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_references": [integers(1)]}

    def __init__(self, n_references: int = 4096):
        self.n_references = n_references

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Sort each feature's values of all members together, and count those of each member below each of them."""
        del held_out
        stored = by_source(some(references, self.n_references).target, others)
        n_sources, n_of_source = stored["references"].shape[:2]
        values, order = stored["references"].flatten(0, 1).T.contiguous().sort(dim=-1)
        of_source = order // n_of_source == torch.arange(n_sources, device=order.device)[:, None, None]
        below = F.pad(of_source.cumsum(dim=-1), (1, 0))  # (n_sources, n_features, n + 1)
        return {"sorted": values[None], "below": below[stored["sources"]].sum(dim=1, dtype=torch.int32)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum over features."""
        return self.feature_scores(evaluation, state).sum(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return ``-log(p)`` of each feature."""
        rows = evaluation.target[:1] if all_alike(evaluation.target) else evaluation.target
        counted = counts_below(rows.flatten(0, 1)[None], state["sorted"])  # among the values of all members
        below, up_to = (_of_members(counts[0], state["below"], len(rows)) for counts in counted)
        n_references = state["below"][..., -1:]
        share = torch.minimum(up_to, n_references - below).double().clamp(min=0.5) / n_references
        return -share.log().mT.contiguous()


def _of_members(counts: Tensor, below: Tensor, n: int) -> Tensor:
    """Look up the counts of each member's own values.

    Shapes are (n_features, n * n_samples) for ``counts``, where n is 1 or the number of members, and (n_members,
    n_features, n_values + 1) for ``below``; the result is (n_members, n_features, n_samples).
    """
    return below.gather(-1, counts.unflatten(-1, (n, -1)).swapaxes(0, 1).expand(len(below), -1, -1))
