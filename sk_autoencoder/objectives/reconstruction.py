"""The objective of every plain or denoising autoencoder: return the clean row."""

from __future__ import annotations

from sk_autoencoder.losses import Loss
from sk_autoencoder.networks import Autoencoder
from sk_autoencoder.objectives.base import Batch, Evaluation, Objective


class Reconstruction(Objective):
    """Minimise the loss between the clean row and what the network makes of the corrupted one.

    References
    ----------
    P. Vincent et al., "Stacked Denoising Autoencoders", JMLR 11, 2010.
    """

    gives = ("reconstruction",)

    def __call__(self, network: Autoencoder, batch: Batch, loss: Loss) -> Evaluation:
        """Evaluate the network on a batch."""
        code = network.encode(batch.corrupted)
        output = network.decode(code, logits=loss.on_logits)
        error = loss(output, batch.clean).mean(dim=-1)  # (m, n)
        reconstruction = output.sigmoid() if loss.on_logits and not network.training else output
        return Evaluation(error.mean(dim=-1), {"reconstruction": error}, code, reconstruction, batch.clean)
