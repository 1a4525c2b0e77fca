"""Network architectures: encoders and decoders."""

from sk_autoencoder.networks.attention import Attention
from sk_autoencoder.networks.base import Autoencoder, Network, NetworkShape
from sk_autoencoder.networks.convolutional import Convolutional
from sk_autoencoder.networks.custom import Custom
from sk_autoencoder.networks.dense import Dense
from sk_autoencoder.networks.recurrent import Recurrent

NETWORKS: dict[str, type[Network]] = {
    "dense": Dense,
    "convolutional": Convolutional,
    "recurrent": Recurrent,
    "attention": Attention,
}

__all__ = [
    "NETWORKS",
    "Attention",
    "Autoencoder",
    "Convolutional",
    "Custom",
    "Dense",
    "Network",
    "NetworkShape",
    "Recurrent",
]
