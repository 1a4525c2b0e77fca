"""Checks of estimators, and names of samples and components in figures."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted


def check_detector(estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and has the given attributes of an outlier detector."""
    check_is_fitted(estimator)
    for name in methods:
        if not hasattr(estimator, name):
            raise ValueError(f"{lack(estimator, name)} It is needed to draw an outlier detector.")


def check_transformer(caller: str, estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and has the given methods; ``caller`` is the display named in the error."""
    check_is_fitted(estimator)
    for name in methods:
        if not hasattr(estimator, name):
            raise TypeError(
                f"{caller} draws latent codes. {lack(estimator, name)} Use a transformer such as "
                "AutoencoderTransformer, or OutlierScoreDisplay and OutlierReconstructionDisplay for a detector."
            )


def lack(estimator: Any, name: str) -> str:
    """Return a sentence that says that an estimator has no such attribute, and which of its parts may have it."""
    kind, cause = type(estimator).__name__, ""
    try:
        getattr(estimator, name)
    except AttributeError as error:  # of a method that depends on parameters, which says why
        _, found, cause = str(error).partition(f"no attribute {name!r}: ")
        cause = f": {cause.rstrip('.')}" if found else ""
    if hasattr(estimator, "steps"):
        cause += "; of a fitted pipeline, draw pipeline[-1] with pipeline[:-1].transform(X)"
    elif hasattr(estimator, "best_estimator_"):
        cause += "; of a search, draw best_estimator_"
    elif hasattr(estimator, "autoencoder_"):
        cause += "; of a classifier or regressor, draw autoencoder_"
    return f"{kind} has no {name}{cause}."


def active_first(estimator: Any) -> int:
    """Return the most active component of a fitted transformer, or 0 if it has no ``active_components_``."""
    active = getattr(estimator, "active_components_", [0])
    return int(active[0]) if len(active) else 0


def has_collapsed(estimator: Any, component: int) -> bool:
    """Whether a component is missing from the ``active_components_`` of a fitted transformer."""
    return hasattr(estimator, "active_components_") and component not in estimator.active_components_


def map_names(estimator: Any) -> tuple[str, str]:
    """Axis labels of the first two components, marked if collapsed."""
    first, second = (f"Component {i + 1}{' (collapsed)' * has_collapsed(estimator, i)}" for i in (0, 1))
    return first, second


def row_labels(X: Any) -> list[str] | None:
    """Name the samples of a pandas DataFrame by its index, such as "sample 'a'"; None if X has no index."""
    if not hasattr(X, "iloc"):
        return None
    return [f"sample {label!r}" if isinstance(label, str) else f"sample {label}" for label in X.index]
