"""Check a built site: ``python -m docs.check build/docs``.

Every public name has an entry in the API reference, the link that scikit-learn shows in a notebook leads to it, and
types of parameters that are public classes are links.
"""

from __future__ import annotations

import re
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


def types_without_link(pages: str) -> tuple[list[str], int]:
    """Return public classes that are plain text in types of parameters, and how many are links."""
    names = {path.rpartition(".")[2] for path, value in PUBLIC.items() if isinstance(value, type)}
    types = re.findall(r'<span class="classifier">(.*?)</span></dt>', pages, re.DOTALL)
    links = [link for text in types for link in re.findall(r"<a [^>]*>.*?</a>", text, re.DOTALL)]
    plain = re.sub(r"<a [^>]*>.*?</a>|<[^>]+>", " ", " ".join(types), flags=re.DOTALL)
    return sorted(names.intersection(re.findall(r"\w+", plain))), len(links)


def check(site: Path) -> None:
    """Raise an error if a name has no entry, a link leads nowhere, or a type is no link."""
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("api/**/*.html"))
    names = [*PUBLIC, *(f"module-{path}" for path in MODULES)]
    missing = [name for name in names if f'id="{name}"' not in pages]
    links = links_of_notebooks(site.resolve().as_uri())
    for path, link in links.items():
        if f'id="{path}"' not in Path(urlsplit(link).path).read_text(encoding="utf-8"):
            missing.append(link)
    plain, n_types = types_without_link(pages)
    if missing or plain or not links or not n_types:
        raise SystemExit(f"Not in the API reference: {missing}. Types without a link: {plain}")
    print(f"{len(names)} of {len(names)} public names have an entry, {len(links)} links of notebooks lead to one.")  # noqa: T201
    print(f"{n_types} types of parameters are links.")  # noqa: T201


if __name__ == "__main__":
    check(Path(sys.argv[1]))
