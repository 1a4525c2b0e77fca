"""Tables for ``test_training_table``."""

import numpy as np
from sklearn.datasets import load_breast_cancer, make_blobs

DAMAGE = ("occupancy", "bedrooms", "longitude")


def clean(n, rng):
    """Two hidden directions and noise, (n, 6)."""
    return rng.normal(size=(n, 2)) @ np.random.default_rng(7).normal(size=(2, 6)) + 0.3 * rng.normal(size=(n, 6))


def houses(n, n_damaged, damage, seed):
    """Eight columns of houses, some damaged in one way: a column scaled, a relation broken, a pair shifted."""
    rng = np.random.default_rng(seed)
    rooms, latitude = rng.lognormal(1.6, 0.3, n), rng.normal(size=n)
    columns = {
        "income": rng.lognormal(1, 0.5, n),
        "rooms": rooms,
        "bedrooms": 0.2 * rooms * rng.lognormal(0, 0.1, n),
        "population": rng.lognormal(7, 0.6, n),
        "occupancy": rng.lognormal(1, 0.3, n),
        "age": rng.uniform(1, 52, n),
        "latitude": latitude,
        "longitude": -0.9 * latitude + 0.4 * rng.normal(size=n),
    }
    damaged = rng.permutation(n)[:n_damaged]
    if damage == "occupancy":
        columns["occupancy"][damaged] *= 20
    elif damage == "bedrooms":
        columns["bedrooms"][damaged] = 0.6 * rooms[damaged]
    else:
        columns["longitude"][damaged] += 6
    return np.column_stack([*columns.values()]), np.isin(np.arange(n), damaged).astype(int)


def contaminated(draw):
    """Yield a name, samples, and which are outliers, of three tables with 5 % of outliers."""
    rng = np.random.default_rng(draw)
    X, y = load_breast_cancer(return_X_y=True)
    malignant = rng.permutation(np.flatnonzero(y == 0))[:20]
    yield "benign and 20 malignant", np.concatenate([X[y == 1], X[malignant]]), np.arange((y == 1).sum() + 20) >= 357
    tables = [houses(300, 15, damage, 3 * draw + place) for place, damage in enumerate(DAMAGE)]
    X, y = (np.concatenate(parts) for parts in zip(*tables, strict=True))
    yield "houses, 5 % damaged", X, y.astype(bool)
    X, _ = make_blobs(475, centers=3, random_state=draw)
    X = np.concatenate([X, rng.uniform(X.min(axis=0), X.max(axis=0), (25, 2))])
    yield "blobs and 5 % uniform", X, np.arange(500) >= 475
