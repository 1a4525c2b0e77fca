"""How far out a row's features lie, each by itself."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State, counts_below, ordered_columns, some


class FeatureTails(OutlierScore):
    """How far out each feature of a row lies in its own distribution, whatever the others do; no network is involved.

    The sum over features of ``-log(p)``, with p the smaller of the shares of reference rows at or below the value and
    at or above it. Rows are strange by many unusual values rather than by one extreme one.

    Parameters
    ----------
    n_references : int, default=4096
        How many training rows a value is ranked among; a detector offers at most 4096. Fewer for rows or codes wider
        than 128, in inverse proportion, but at least 256.

    References
    ----------
    Z. Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions", TKDE 2022.
    """

    uses_terms = False
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
        """Return each feature's addend."""
        n_references = state["sorted"].shape[-1]
        below, up_to = counts_below(evaluation.target, state["sorted"])
        share = torch.minimum(up_to, n_references - below).double().clamp(min=0.5) / n_references
        return -share.log().mT.contiguous()
