"""Training objectives: the function that is minimized."""

from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare
from sk_autoencoder.objectives.reconstruction import Reconstruction
from sk_autoencoder.objectives.variational import Variational

OBJECTIVES: dict[str, type[Objective]] = {"reconstruction": Reconstruction, "variational": Variational}

__all__ = ["OBJECTIVES", "Batch", "Evaluation", "Objective", "Reconstruction", "Variational", "compare"]
