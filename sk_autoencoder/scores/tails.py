"""Tail probabilities of single features."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State, counts_below, ordered_columns, some


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
        """Sort each feature's values."""
        del held_out, others
        return {"sorted": ordered_columns(some(references, self.n_references).target)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum over features."""
        return self.feature_scores(evaluation, state).sum(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return ``-log(p)`` of each feature."""
        n_references = state["sorted"].shape[-1]
        below, up_to = counts_below(evaluation.target, state["sorted"])
        share = torch.minimum(up_to, n_references - below).double().clamp(min=0.5) / n_references
        return -share.log().mT.contiguous()
