"""Encoders and decoders (torch only)."""

from sk_autoencoder.networks.base import Autoencoder, Network, NetworkShape
from sk_autoencoder.networks.dense import Dense

NETWORKS: dict[str, type[Network]] = {"dense": Dense}

__all__ = ["NETWORKS", "Autoencoder", "Dense", "Network", "NetworkShape"]
