"""Dependence between pairs of features."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from sk_autoencoder._validation import integers
from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import N_REFERENCES, OutlierScore, State, counts_below, ordered_columns, some

_SMALLEST_FRACTION = 1e-12  # of bins without reference samples


class DependenceTree(OutlierScore):
    """How improbable pairs of values are, beyond what each value is alone; the network is not used.

    The values of each feature are divided into bins with equal numbers of reference samples. Features are connected to
    a tree, by the pairs whose bin numbers have the largest absolute correlations. The score is the sum over the edges
    of the tree of ``-log(p_ij / (p_i * p_j))``, where p are fractions of reference samples in the bins of a sample: the
    negative logarithm of its density, as approximated by the tree, without that of independent features. Values that
    are farther outside the range of the reference samples than this range is wide, and than one scaled unit, are in
    bins of their own, whose pairs are half as probable as any other.

    Parameters
    ----------
    n_bins : int, default=8
        Number of bins of each feature; fewer if values are repeated.
    n_references : int, default=1024
        Number of training samples that define the fractions; a detector provides at most 4096. For samples or codes
        wider than 128 the number is reduced in inverse proportion to the width, but not below 256.

    References
    ----------
    C. Chow and C. Liu, "Approximating Discrete Probability Distributions with Dependence Trees", IEEE Transactions on
    Information Theory 14, 1968.
    """

    uses_terms = False
    uses_network = False
    explains_features = True
    is_log_scale = True
    is_local = False
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_bins": [integers(2)], "n_references": [integers(1)]}

    def __init__(self, n_bins: int = 8, n_references: int = N_REFERENCES):
        self.n_bins = n_bins
        self.n_references = n_references

    def fit(self, references: Evaluation, held_out: Evaluation, others: Tensor | None = None) -> State:
        """Choose the tree and the limits of the bins, and count the reference samples in pairs of bins."""
        del held_out, others
        rows = some(references, self.n_references).target
        ordered = ordered_columns(rows)  # (n_members, n_features, n)
        lowest, highest = ordered[..., :1], ordered[..., -1:]
        margin = (highest - lowest).clamp(min=1)
        inner = ordered[..., torch.arange(1, self.n_bins, device=rows.device) * rows.shape[1] // self.n_bins]
        state = {"limits": torch.cat([lowest - margin, inner, highest + margin], dim=-1)}
        state["edges"] = torch.stack([_tree(member) for member in self._bins(rows, state).double()])
        pairs = self._pairs(rows, state)
        n_rows, n_cells, width = rows.shape[1], self.n_bins**2, self.n_bins + 2
        counts = torch.zeros(*pairs.shape[:2], width**2, dtype=torch.float64, device=rows.device)
        counts.scatter_add_(2, pairs, torch.ones_like(pairs, dtype=torch.float64))
        joint = counts.unflatten(2, (width, width))[..., 1:-1, 1:-1] / n_rows
        independent = joint.sum(dim=3, keepdim=True) * joint.sum(dim=2, keepdim=True)
        # Half a sample of independent features for each pair of bins, so that no fraction is 0.
        weight = n_cells / (n_cells + 2 * n_rows)
        ratio = weight + (1 - weight) * joint / independent.clamp(min=_SMALLEST_FRACTION)
        surprises = F.pad(-ratio.log(), (1, 1, 1, 1), value=-log(weight / 2))
        return state | {"surprises": surprises.flatten(2)}

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the sum over the edges."""
        return self._of_edges(evaluation, state).mT.contiguous().sum(dim=-1)

    def feature_scores(self, evaluation: Evaluation, state: State) -> Tensor:
        """Divide the term of each edge equally between its two features."""
        halves = (self._of_edges(evaluation, state) / 2).repeat_interleave(2, dim=1)  # (n_members, 2 * n_edges, n)
        features = state["edges"].flatten(1)[..., None].expand(halves.shape)
        shape = (len(halves), evaluation.target.shape[-1], halves.shape[-1])
        return halves.new_zeros(shape).scatter_add_(1, features, halves).mT.contiguous()

    def _of_edges(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return the term of each edge, (n_members, n_edges, n)."""
        return state["surprises"].gather(2, self._pairs(evaluation.target, state))

    def _pairs(self, rows: Tensor, state: State) -> Tensor:
        """Return for each edge the number of its pair of bins, (n_members, n_edges, n)."""
        bins = self._bins(rows, state)
        first, second = (ends[..., None].expand(-1, -1, bins.shape[-1]) for ends in state["edges"].unbind(dim=2))
        return bins.gather(1, first) * (self.n_bins + 2) + bins.gather(1, second)

    def _bins(self, rows: Tensor, state: State) -> Tensor:
        """Return the bin of each value, (n_members, n_features, n)."""
        return counts_below(rows, state["limits"])[0]


def _tree(bins: Tensor) -> Tensor:
    """Return the edges (n_edges, 2) of the tree with the largest absolute correlations of bin numbers (width, n)."""
    if len(bins) == 1:
        return torch.zeros(0, 2, dtype=torch.long, device=bins.device)
    # Sums of whole numbers are exact, so that equal correlations are equal on any number of threads.
    sums = bins.sum(dim=1)
    covariances = bins.shape[1] * (bins @ bins.mT) - sums[:, None] * sums
    deviations = covariances.diagonal().clamp(min=1).sqrt()
    correlations = covariances / deviations[:, None] / deviations
    weights = 1 + correlations.abs().cpu().numpy()  # a weight of 0 would be no edge
    tree = minimum_spanning_tree(np.triu(-weights, 1)).tocoo()
    edges = np.stack([tree.row, tree.col], axis=1).astype(np.int64)
    return torch.from_numpy(edges).to(bins.device)
