"""Tables for ``test_training_table``."""

import numpy as np

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
