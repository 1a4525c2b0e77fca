"""Base class of the objects that estimators accept as parameters, by name or as an instance."""

from __future__ import annotations

from typing import Any, TypeVar

from sklearn.base import clone

from sk_autoencoder._validation import ParameterizedEstimator, check_parameters, plain


class Part(ParameterizedEstimator):
    """Base class of losses, scalings, networks, scores and so on; ``__init__`` only stores the parameters.

    A part is a scikit-learn ``BaseEstimator``, so that ``get_params``, ``clone``, ``repr`` and grid search over nested
    parameters work. A part has no fitted state, which is stored in the estimator that uses the part.
    """


class KeywordPart(Part):
    """Abstract: a part that passes keyword arguments on (``self.kwargs``), which are parameters of the part."""

    kwargs: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return parameters and keyword arguments."""
        return {**super().get_params(deep), **self.kwargs}

    def set_params(self, **params: Any) -> KeywordPart:
        """Set parameters or keyword arguments; a new name is passed on from now on."""
        for name in [name for name in params if name not in self._get_param_names() and "__" not in name]:
            self.kwargs[name] = params.pop(name)
        super().set_params(**params)
        return self


AnyPart = TypeVar("AnyPart", bound=Part)


def resolve(registry: dict[str, type[AnyPart]], choice: str | AnyPart) -> AnyPart:
    """Return a new, validated part for a name in the registry or a user's part, with parameters of built-in types."""
    part = registry[choice]() if isinstance(choice, str) else clone(choice)
    check_parameters(part)
    part.set_params(**{name: plain(value) for name, value in part.get_params(deep=False).items()})
    return part
