"""Training objectives (torch only)."""

from sk_autoencoder.objectives.base import Batch, Evaluation, Objective
from sk_autoencoder.objectives.reconstruction import Reconstruction

OBJECTIVES: dict[str, type[Objective]] = {"reconstruction": Reconstruction}

__all__ = ["OBJECTIVES", "Batch", "Evaluation", "Objective", "Reconstruction"]
