"""Multi-sensor time series with known anomalies.

- ``skab``: valve runs of the Skoltech testbed. The first 400 steps train, the others are scored.
- ``smd``: server machines, each with a training and a test series.
- ``synthetic``: a generated machine with daily load modes, and one planted event of each of eight kinds.
- ``attribution``: faults of single sensors, planted into the second half of the training series of an SMD machine. The
  first half trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

SKAB_TRAINING = 400


@dataclass(frozen=True)
class Event:
    """An anomaly: the steps from ``start`` to before ``stop``, and its sensor if it has only one."""

    kind: str
    start: int
    stop: int
    sensor: int | None = None


@dataclass(frozen=True)
class Series:
    """Training and test series, (n_steps, n_sensors), labels of the test steps (1 is anomalous) and planted events."""

    name: str
    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    events: tuple[Event, ...] = ()


def skab(data: Path) -> Iterator[Series]:
    """Yield the 16 valve runs, and the run without anomalies."""
    for name in [*(f"valve1_{run}" for run in range(16)), "anomaly_free"]:
        with np.load(data / "series" / "skab" / f"{name}.npz", allow_pickle=False) as file:
            X = file["X"]
            labels = file["y"] if "y" in file else np.zeros(len(X), dtype=np.int8)
        yield Series(name, X[:SKAB_TRAINING], X[SKAB_TRAINING:], labels[SKAB_TRAINING:])


def smd(data: Path) -> Iterator[Series]:
    """Yield the machines."""
    for path in sorted((data / "series" / "smd").glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            yield Series(path.stem, file["X_train"], file["X_test"], file["y_test"])


# The synthetic machine. 14 days train, the next 8 are clean and set the threshold, each of the last 8 has one event.
DAY = 1440  # steps of one minute
TRAINING_DAYS, CLEAN_DAYS = 14, 8
N_SYNTHETIC = 10
OSCILLATING = 4  # the sensor whose frequency changes
FOLLOW_LOAD = (0, 1, 2, 3, 5)
SPLIT_OF_MODE = {0.2: 0.9, 0.55: 0.3, 1.0: 0.6}  # the load of each mode, and how two pumps share it

# Steps that an event lasts; a stuck sensor: for as many hours as its strength says.
DURATIONS = {
    "point": 2,
    "level shift": 120,
    "frequency": 120,
    "stuck": 60,
    "drift": 240,
    "noise burst": 60,
    "broken correlation": 120,
    "hidden load mode": 180,
}
KINDS = tuple(DURATIONS)

# "point", "level shift", "drift" (at its end) and "noise burst" (its standard deviation): in standard deviations of the
# sensor. "frequency": the relative increase. "stuck": hours. "broken correlation": the share of the sensor's
# values from another stretch, the least similar of 20. "hidden load mode": in standard deviations of how the pumps
# share the load.
#
# Chosen by ``python -m benchmarks.series --calibrate`` before any detector of this package was run on these series: the
# largest strength of the grid at which none of the peers of SMD, each in its best setting there, finds more than 7 of
# the 10 events, or 3 if none finds 3 of them at 3. At these, the best peer of SMD (neighbours) finds 2, 4, 7, 7, 4, 5,
# 4 and 6.
STRENGTHS: dict[str, float] = {
    "point": 3.0,
    "level shift": 0.5,
    "frequency": 0.15,
    "stuck": 3.0,
    "drift": 0.7,
    "noise burst": 0.7,
    "broken correlation": 0.3,
    "hidden load mode": 0.5,
}


def synthetic(strengths: Mapping[str, float] = STRENGTHS) -> Iterator[Series]:
    """Yield the generated series."""
    for seed in range(N_SYNTHETIC):
        yield synthetic_series(seed, strengths)


def synthetic_series(seed: int, strengths: Mapping[str, float] = STRENGTHS) -> Series:
    """30 days of six sensors; clean training days, and test days of which the last 8 have one event each.

    Places, sensors, directions and noise do not depend on the strengths.
    """
    n_days = TRAINING_DAYS + CLEAN_DAYS + len(KINDS)
    machine = Machine(np.random.default_rng([seed, 0]), n_days)
    X = machine.sensors()
    spread = X[: TRAINING_DAYS * DAY].std(axis=0)
    events = []
    order = np.random.default_rng([seed, 1]).permutation(len(KINDS))
    for day, which in enumerate(order, start=TRAINING_DAYS + CLEAN_DAYS):
        kind = KINDS[which]
        rng = np.random.default_rng([seed, 2, which])
        event = placed(kind, day, strengths[kind], rng)
        plant(event, strengths[kind], X, machine, spread, rng)
        events.append(Event(kind, event.start - TRAINING_DAYS * DAY, event.stop - TRAINING_DAYS * DAY, event.sensor))
    train, test = X[: TRAINING_DAYS * DAY], X[TRAINING_DAYS * DAY :]
    labels = np.zeros(len(test), dtype=np.int8)
    for event in events:
        labels[event.start : event.stop] = 1
    return Series(f"synthetic {seed}", train.astype(np.float32), test.astype(np.float32), labels, tuple(events))


def placed(kind: str, day: int, strength: float, rng: np.random.Generator) -> Event:
    """Draw the place and sensor of an event; it begins between 2:00 and 18:00."""
    start = day * DAY + int(rng.integers(2 * 60, 18 * 60))
    duration = round(DURATIONS[kind] * strength) if kind == "stuck" else DURATIONS[kind]
    any_sensor = int(rng.integers(6))
    sensor = {
        "frequency": OSCILLATING,
        "broken correlation": int(rng.choice(FOLLOW_LOAD)),
        "hidden load mode": None,
    }.get(kind, any_sensor)
    return Event(kind, start, start + duration, sensor)


def plant(
    event: Event, strength: float, X: np.ndarray, machine: Machine, spread: np.ndarray, rng: np.random.Generator
) -> None:
    """Write an event into the sensors X."""
    steps = slice(event.start, event.stop)
    sign = rng.choice([-1.0, 1.0])
    noise = rng.normal(size=event.stop - event.start)
    candidates = rng.integers(0, TRAINING_DAYS * DAY - len(noise), size=20)
    if event.kind == "frequency":
        X[steps] = machine.sensors(faster=(steps, 1 + strength))[steps]
    elif event.kind == "hidden load mode":
        X[steps] = machine.sensors(shifted=(steps, strength))[steps]
    else:
        own = X[steps, event.sensor]
        unit = spread[event.sensor]
        others = [X[start : start + len(own), event.sensor] for start in candidates]
        other = max(others, key=lambda values: np.abs(values - own).mean())
        X[steps, event.sensor] = {
            "point": own + sign * strength * unit,
            "level shift": own + sign * strength * unit,
            "stuck": own[0],
            "drift": own + sign * strength * unit * np.linspace(0, 1, len(own)),
            "noise burst": own + strength * unit * noise,
            "broken correlation": own + strength * (other - own),
        }[event.kind]


class Machine:
    """A machine that is idle at night and runs in two modes by day; the modes are drawn for each day.

    Its sensors are those of current, flow, temperature, pressure, vibration, and of the speed of the second pump.
    """

    def __init__(self, rng: np.random.Generator, n_days: int):
        n_steps = n_days * DAY
        self.gains = rng.uniform(0.7, 1.3, size=8)
        self.period = rng.uniform(16, 28)
        modes = np.concatenate([day_of_modes(rng) for _ in range(n_days)])
        split = np.vectorize(SPLIT_OF_MODE.get)(modes)
        self.load = gaussian_filter1d(modes, 8) + 0.02 * slow_noise(rng, n_steps, 0.95)
        self.split = gaussian_filter1d(split, 8) + 0.02 * slow_noise(rng, n_steps, 0.95)
        self.ambient = np.sin(2 * np.pi * np.arange(n_steps) / DAY - rng.uniform(1, 3)) + slow_noise(
            rng, n_steps, 0.999
        )
        self.phases = np.cumsum(2 * np.pi / self.period * (1 + 0.05 * slow_noise(rng, n_steps, 0.99)))
        self.noise = rng.normal(size=(n_steps, 6)) * rng.uniform(0.02, 0.05, size=6)

    def sensors(
        self, faster: tuple[slice, float] | None = None, shifted: tuple[slice, float] | None = None
    ) -> np.ndarray:
        """Values of the sensors; in some steps the oscillation is faster, or the pumps share the load differently."""
        speed = np.diff(self.phases, prepend=0)
        split = self.split.copy()
        if faster is not None:
            speed[faster[0]] *= faster[1]
        if shifted is not None:
            inside = np.sign(np.median(list(SPLIT_OF_MODE.values())) - split[shifted[0]].mean()) or 1.0
            split[shifted[0]] += inside * shifted[1] * split[: TRAINING_DAYS * DAY].std()
        a, b, c, d, e, f, g, h = self.gains
        columns = [
            a * self.load,
            b * lagged(self.load, 5) ** 2 + 0.5 * c * split,
            d * lagged(self.load, 60) + 0.1 * e * self.ambient,
            f * self.load - 0.8 * g * split,
            (0.3 + self.load) * np.sin(np.cumsum(speed)),
            split + 0.3 * h * lagged(self.load, 10),
        ]
        return np.column_stack(columns) + self.noise


def day_of_modes(rng: np.random.Generator) -> np.ndarray:
    """Load of one day: idle, from about 6:00 to 22:00 two modes that alternate after 2 to 5 hours, and idle."""
    idle, *by_day = SPLIT_OF_MODE
    load = np.full(DAY, idle)
    start, stop = 6 * 60 + int(rng.integers(-20, 21)), 22 * 60 + int(rng.integers(-20, 21))
    mode = int(rng.integers(2))
    while start < stop:
        hours = int(rng.integers(2 * 60, 5 * 60))
        load[start : min(stop, start + hours)] = by_day[mode]
        start, mode = start + hours, 1 - mode
    return load


def slow_noise(rng: np.random.Generator, n_steps: int, memory: float) -> np.ndarray:
    """Autoregressive noise with variance 1."""
    innovations = rng.normal(size=n_steps) * np.sqrt(1 - memory**2)
    innovations[0] = rng.normal()
    return lfilter([1], [1, -memory], innovations)


def lagged(values: np.ndarray, steps: float) -> np.ndarray:
    """Response of the first order, with a time constant of so many steps."""
    share = 1 - np.exp(-1 / steps)
    return lfilter([share], [1, share - 1], values, zi=[(1 - share) * values[0]])[0]


# Faults of single sensors.
FAULT, SLOT = 100, 240  # steps of a fault, and from one fault to the next
FAULTS = ("level", "noise", "stuck", "broken correlation")
FAULT_STRENGTH = 3.0  # standard deviations of the sensor, of a level and of noise
LEAST_SPREAD = 0.3  # of the sensor in the steps of the fault, of its standard deviation


def attribution(data: Path, n_draws: int) -> Iterator[Series]:
    """Yield machines of SMD with faults of single sensors, a few draws of each."""
    for draw in range(n_draws):
        for number, machine in enumerate(smd(data)):
            half = len(machine.train) // 2
            rng = np.random.default_rng([draw, number])
            test, events = with_faults(machine.train[:half], machine.train[half:], rng)
            labels = np.zeros(len(test), dtype=np.int8)
            for event in events:
                labels[event.start : event.stop] = 1
            yield Series(f"{machine.name}, draw {draw}", machine.train[:half], test, labels, events)


def with_faults(train: np.ndarray, test: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Event, ...]]:
    """Plant a fault into each slot in which a sensor moves; the kinds take turns.

    A sensor moves where its standard deviation in the steps of the fault is at least 0.3 of that in training. Faults
    are a level of 3 standard deviations, noise of 3, stuck at the first value, and the sensor's values from another
    slot in which it moves.
    """
    own = train.std(axis=0)
    starts = np.arange((SLOT - FAULT) // 2, len(test) - SLOT, SLOT)
    spreads = np.array([test[start : start + FAULT].std(axis=0) for start in starts])
    moves = (spreads >= LEAST_SPREAD * own) & (own > 0)
    planted, events = test.copy(), []
    for slot in rng.permutation(len(starts)):
        kind = FAULTS[len(events) % len(FAULTS)]
        sensors = np.flatnonzero(moves[slot] & (moves.sum(axis=0) > 1))
        if len(sensors) == 0:
            continue
        sensor = int(rng.choice(sensors))
        start, unit = starts[slot], FAULT_STRENGTH * own[sensor]
        values = planted[start : start + FAULT, sensor]  # a view
        if kind == "level":
            values += unit * rng.choice([-1.0, 1.0])
        elif kind == "noise":
            values += unit * rng.normal(size=FAULT)
        elif kind == "stuck":
            values[:] = values[0]
        else:
            other = starts[rng.choice(np.setdiff1d(np.flatnonzero(moves[:, sensor]), [slot]))]
            values[:] = test[other : other + FAULT, sensor]
        events.append(Event(kind, int(start), int(start) + FAULT, sensor))
    return planted, tuple(events)
