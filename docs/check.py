"""Check a built site: ``python -m docs.check build/docs``.

Every public name has an entry in the API reference, and the link that scikit-learn shows in a notebook leads to it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from sklearn.base import BaseEstimator

from docs.public import MODULES, PUBLIC
from sk_autoencoder import _validation


def links_of_notebooks(address: str) -> dict[str, str]:
    """Return {public path: link} of the classes that notebooks show, for an address of the site."""
    _validation.DOCUMENTATION = address
    classes = {path: value for path, value in PUBLIC.items() if isinstance(value, type)}
    shown = {path: kind for path, kind in classes.items() if issubclass(kind, BaseEstimator)}
    return {path: kind._get_doc_link(kind.__new__(kind)) for path, kind in shown.items()}


def check(site: Path) -> None:
    """Raise an error if a name has no entry, or a link leads nowhere."""
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("api/**/*.html"))
    names = [*PUBLIC, *(f"module-{path}" for path in MODULES)]
    missing = [name for name in names if f'id="{name}"' not in pages]
    links = links_of_notebooks(site.resolve().as_uri())
    for path, link in links.items():
        if f'id="{path}"' not in Path(urlsplit(link).path).read_text(encoding="utf-8"):
            missing.append(link)
    if missing or not links:
        raise SystemExit(f"Not in the API reference: {missing}")
    print(f"{len(names)} of {len(names)} public names have an entry, {len(links)} links of notebooks lead to one.")  # noqa: T201


if __name__ == "__main__":
    check(Path(sys.argv[1]))
