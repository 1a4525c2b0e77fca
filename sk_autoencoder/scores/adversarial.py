"""Score of adversarial autoencoders."""

from __future__ import annotations

import torch
from torch import Tensor

from sk_autoencoder.objectives import Evaluation
from sk_autoencoder.scores.base import OutlierScore, State


class Discriminator(OutlierScore):
    """How surely the discriminator takes the latent code for none of the standard normal distribution.

    The score is the logarithm of the odds that the code is that of a sample, and not a draw from the standard normal
    distribution. Scores are at least -708, minus the logarithm of the largest number of float64.

    The score judges the code alone. Samples of an unknown kind often have codes near the origin, and low scores; in
    tests on digits without one of the classes, this class had lower scores than the others.

    References
    ----------
    A. Makhzani et al., "Adversarial Autoencoders", arXiv 1511.05644, 2015.
    """

    required_terms = ("discriminator",)
    uses_references = False
    is_log_scale = True

    def __call__(self, evaluation: Evaluation, state: State) -> Tensor:
        """Return minus the logit, from the term, which is ``softplus(-logit)``."""
        del state
        term = evaluation.terms["discriminator"].double().clamp(min=torch.finfo(torch.float64).tiny)
        return term + (-(-term).expm1()).log()
