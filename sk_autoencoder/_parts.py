"""Base class of the objects that estimators accept as parameters, by name or as an instance."""

from __future__ import annotations

from typing import TypeVar

from sklearn.base import clone

from sk_autoencoder._validation import ParameterizedEstimator, check_parameters, plain


class Part(ParameterizedEstimator):
    """Base class of losses, scalings, networks, scores and so on; ``__init__`` only stores the parameters.

    A part is a scikit-learn ``BaseEstimator``, so that ``get_params``, ``clone``, ``repr`` and grid search over nested
    parameters work. A part has no fitted state, which is stored in the estimator that uses the part.
    """


AnyPart = TypeVar("AnyPart", bound=Part)


def resolve(registry: dict[str, type[AnyPart]], choice: str | AnyPart) -> AnyPart:
    """Return a new, validated part for a name in the registry or a user's part, with parameters of built-in types."""
    part = registry[choice]() if isinstance(choice, str) else clone(choice)
    check_parameters(part)
    part.set_params(**{name: plain(value) for name, value in part.get_params(deep=False).items()})
    return part
