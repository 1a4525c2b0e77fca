"""Parts: the small objects that stand behind every name a user can give."""

from __future__ import annotations

from typing import TypeVar

from sklearn.base import clone

from sk_autoencoder._validation import ParameterizedEstimator, check_parameters, plain


class Part(ParameterizedEstimator):
    """One choice on one axis: parameters stored as given, no work in ``__init__``.

    A part is a scikit-learn ``BaseEstimator``, so that ``get_params``, ``clone``, ``repr`` and nested
    search work on it; it never holds fitted state, which belongs to the estimator that uses it.
    """


AnyPart = TypeVar("AnyPart", bound=Part)


def resolve(registry: dict[str, type[AnyPart]], choice: str | AnyPart) -> AnyPart:
    """Turn a name of the registry, or a user's part, into a validated part of our own that holds Python's numbers."""
    part = registry[choice]() if isinstance(choice, str) else clone(choice)
    check_parameters(part)
    part.set_params(**{name: plain(value) for name, value in part.get_params(deep=False).items()})
    return part
