"""Training objectives: the function that is minimized."""

from sk_autoencoder.objectives.adversarial import Adversarial
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective, compare
from sk_autoencoder.objectives.consistency import CONSISTENCIES, Consistency, PseudoLabel, VirtualAdversarial
from sk_autoencoder.objectives.reconstruction import Reconstruction
from sk_autoencoder.objectives.supervised import Supervised
from sk_autoencoder.objectives.variational import Variational

OBJECTIVES: dict[str, type[Objective]] = {
    "reconstruction": Reconstruction,
    "variational": Variational,
    "adversarial": Adversarial,
}

__all__ = [
    "CONSISTENCIES",
    "OBJECTIVES",
    "Adversarial",
    "Batch",
    "Consistency",
    "Evaluation",
    "Objective",
    "PseudoLabel",
    "Reconstruction",
    "Supervised",
    "Variational",
    "VirtualAdversarial",
    "compare",
]
