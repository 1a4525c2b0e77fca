"""Checks of estimators, and names of samples and components in figures."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_is_fitted


def check_detector(estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and has the given attributes of an outlier detector."""
    missing = _missing(estimator, methods)
    if missing:
        raise ValueError(f"{type(estimator).__name__} has no {missing}: it is not an outlier detector.")


def check_transformer(caller: str, estimator: Any, *methods: str) -> None:
    """Check that an estimator is fitted and has the given methods; ``caller`` is the display named in the error."""
    missing = _missing(estimator, methods)
    if missing:
        raise TypeError(
            f"{caller} draws latent codes, but {type(estimator).__name__} has no {missing}; use a transformer such as "
            "AutoencoderTransformer, or use OutlierScoreDisplay and OutlierReconstructionDisplay for a detector."
        )


def _missing(estimator: Any, methods: tuple[str, ...]) -> str:
    check_is_fitted(estimator)
    return " and no ".join(name for name in methods if not hasattr(estimator, name))


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
