"""The public names of the package, which the API reference has to contain."""

from __future__ import annotations

import inspect
from typing import Any

import sk_autoencoder

MODULES = {
    f"sk_autoencoder.{name}": value
    for name, value in vars(sk_autoencoder).items()
    if name in sk_autoencoder.__all__ and inspect.ismodule(value)
}
# Paths under which users import them: classes, functions and registries.
PUBLIC: dict[str, Any] = {
    f"{path}.{name}": getattr(module, name)
    for path, module in {"sk_autoencoder": sk_autoencoder, **MODULES}.items()
    for name in module.__all__
    if not inspect.ismodule(getattr(module, name))
}
