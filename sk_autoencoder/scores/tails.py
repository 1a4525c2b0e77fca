"""How far out a row's features lie, each by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import Score, State, some


class FeatureTails(Score):
    """How far out each feature of a row lies in its own distribution, whatever the others do; no network is involved.

    The sum over features of ``-log(p)``, with p the smaller of the shares of reference rows at or below the value and
    at or above it. Rows are strange by many unusual values rather than by one extreme one.

    References
    ----------
    Z. Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions", TKDE 2022.
    """

    reads_parts = False
    explains_features = True
    of_network = False

    def fit(self, references: Evaluation, held_out: Evaluation) -> State:
        """Sort each feature's values."""
        del held_out
        return {"sorted": some(references).target.double().mT.contiguous().sort(dim=-1).values}

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
