"""Labelled memory for ``watch_alerts.py``: ramps that end full, and days of 24 hours on which nothing is wrong.

Every series is drawn from a seed. Odd seeds were held out while the rules were tuned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SERIES = ("gpu", "jax", "torch")
SHAPES = ("straight", "noisy", "blocks", "sawtooth", "pauses", "accelerating", "evaluations", "leak")
DAY = 86_400
Random = np.random.Generator
Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Ramp:
    """Memory that fills up."""

    shape: str
    series: str
    values: Values
    """Percent, one a second, until one series is full."""
    begin: int
    """Second at which the growth begins."""


def ramp(shape: str, series: str, seed: int) -> Ramp:
    """Draw a ramp; its memory is full in its last second, at least 60 s after its beginning."""
    random = np.random.default_rng([seed, SHAPES.index(shape), SERIES.index(series)])
    while True:
        start, begin = random.uniform(10.0, 75.0), int(random.choice([5, 30, 120, 600]))
        shortest, longest = {"leak": (3_600, 28_800), "evaluations": (300, 1_800)}.get(shape, (60, 1_800))
        duration = int(np.exp(random.uniform(np.log(shortest), np.log(longest))))
        second = np.arange(begin + 2 * duration)
        share = np.maximum((second - begin) / duration, 0.0)
        filling = start + _growth(shape, random, share, 100.0 - start, second)
        values = _seen(series, random, filling + _jitter(random, second.size))
        full = int(np.argmax(np.max(list(values.values()), axis=0) >= 100.0))
        if full - begin >= 60:
            return Ramp(shape, series, {name: found[: full + 1] for name, found in values.items()}, begin)


def _growth(shape: str, random: Random, share: np.ndarray, height: float, second: np.ndarray) -> np.ndarray:
    if shape == "noisy":
        return height * share + random.normal(0.0, random.uniform(0.3, 1.0), share.size)
    if shape == "blocks":
        instants = np.sort(random.uniform(0.0, 1.0, max(12, int(height / random.uniform(0.5, 4.0)))))
        return height * np.searchsorted(instants, share, side="right") / instants.size
    if shape == "sawtooth":
        period, depth = random.uniform(10.0, 60.0), min(random.uniform(2.0, 6.0), height / 8.0)
        return height * share - depth * (1.0 - (second % period) / period)
    if shape == "pauses":
        stops = random.uniform(0.0, 0.9, 3)
        lengths = random.uniform(0.05, 0.1, 3)
        stopped = np.any((share[:, None] >= stops) & (share[:, None] < stops + lengths), axis=1)
        moving = np.where(stopped, 0.0, np.diff(share, prepend=0.0))
        return height * np.cumsum(moving) / (1.0 - 0.075 * 3)
    if shape == "accelerating":
        return height * share**1.5
    if shape == "evaluations":
        return height * share + _evaluations(random, share.size, (60, 300), (3.0, 10.0), (10, 30))
    if shape == "leak":
        bumps = _evaluations(random, share.size, (600, 3_600), (2.0, 10.0), (20, 120))
        return height * share + bumps + _wander(random, share.size, 0.3)
    return height * share


def _seen(series: str, random: Random, filling: np.ndarray) -> Values:
    """What NVML and the allocators tell when this memory fills."""
    full = np.clip(filling, 0.0, 100.0)
    if series == "jax":
        return {"jax/memory_percent": full, "gpu/memory_percent": 76.0 + _jitter(random, full.size)}
    if series == "torch":
        return {"torch/memory_percent": full, "gpu/memory_percent": np.clip(filling + 2.5, 0.0, 100.0)}
    return {"gpu/memory_percent": full}


def day(seed: int) -> Values:
    """Draw 24 hours on which nothing is wrong: memory stays at 94 % or below, and what goes up comes to rest."""
    random = np.random.default_rng([seed, 24])
    values = {"gpu/memory_percent": _quiet_memory(random)}
    if random.random() < 0.5:
        values["jax/memory_percent"] = _quiet_memory(random)
        preallocated = 76.0 + _jitter(random, DAY)
        values["gpu/memory_percent"] = preallocated if random.random() < 0.5 else values["gpu/memory_percent"]
    if random.random() < 0.5:
        flat = random.uniform(60.0, 94.0) + 0.0 * np.arange(DAY)
        values["torch/memory_percent"] = flat if random.random() < 0.5 else _quiet_memory(random)
    warm = random.uniform(50.0, 78.0) + _wander(random, DAY, 1.5)
    warm += 12.0 * (random.random(DAY) < 2 / 3_600)  # misreadings of a second
    values["gpu/temperature"] = np.minimum(warm, 92.0)
    values["gpu/throttle_power"] = _bursts(random, random.uniform(10, 60), 8)
    values["gpu/throttle_thermal"] = _bursts(random, 4, 3)
    return values


def _quiet_memory(random: Random) -> np.ndarray:
    second = np.arange(DAY)
    base = random.uniform(25.0, 80.0)
    grown = _start(random, second) * base
    extra = np.zeros(DAY)
    if random.random() < 0.6:  # a caching allocator
        period, height = random.uniform(20.0, 900.0), random.uniform(2.0, 20.0)
        lengths = period * random.uniform(0.6, 1.4, int(2 * DAY / period) + 2)
        edges = np.cumsum(lengths)
        index = np.searchsorted(edges, second, side="right")
        extra += (
            height * random.uniform(0.7, 1.0, edges.size)[index] * (1.0 - (edges[index] - second) / lengths[index])
        )
    if random.random() < 0.6:
        extra += _evaluations(random, DAY, (300, 3_600), (3.0, 25.0), (10, 180))
    if random.random() < 0.5:  # caches that fill ever more slowly
        extra += random.uniform(5.0, 20.0) * (1.0 - np.exp(-second / random.uniform(300.0, 3_600.0)))
    elif random.random() < 0.6:  # a replay buffer
        extra += random.uniform(5.0, 15.0) * np.minimum(second / random.uniform(600.0, 7_200.0), 1.0)
    for instant in random.uniform(0, DAY, int(random.integers(0, 6))):  # a new shape needs a block for good
        extra += random.uniform(1.0, 6.0) * (second > instant)
    extra += _wander(random, DAY, random.uniform(0.1, 0.8))
    room = 94.0 - base
    return np.clip(grown + extra * min(1.0, room / extra.max()) + _jitter(random, DAY), 0.0, 94.0)


def _start(random: Random, second: np.ndarray) -> np.ndarray:
    """From 0 to 1 as a process starts: a model loaded, allocations that settle, or blocks."""
    kind = random.choice(["loaded", "settling", "blocks"])
    if kind == "loaded":
        return np.minimum(second / random.uniform(3.0, 15.0), 1.0)
    if kind == "settling":
        return 1.0 - np.exp(-second / random.uniform(3.0, 40.0))
    instants = np.sort(random.uniform(0.0, random.uniform(5.0, 90.0), int(random.integers(3, 13))))
    return np.searchsorted(instants, second, side="right") / instants.size


def _evaluations(
    random: Random, size: int, every: tuple[int, int], height: tuple[float, float], length: tuple[int, int]
) -> np.ndarray:
    """Memory that is taken within 1 to 10 s and given back at the end."""
    second = np.arange(size)
    period, rise = random.uniform(*every), random.uniform(1.0, 10.0)
    inside = second % period
    taken = np.minimum(inside / rise, 1.0) * (inside < random.uniform(*length))
    return random.uniform(*height) * taken * (second > period)


def _wander(random: Random, size: int, spread: float) -> np.ndarray:
    """Noise that remembers itself for 1 to 30 minutes."""
    keep = np.exp(-1.0 / random.uniform(60.0, 1_800.0))
    pushes = random.normal(0.0, spread * np.sqrt(1.0 - keep**2), size)
    walked, now = np.empty(size), 0.0
    for i, push in enumerate(pushes):
        walked[i] = now = keep * now + push
    return walked


def _jitter(random: Random, size: int) -> np.ndarray:
    return random.normal(0.0, random.uniform(0.02, 0.15), size)


def _bursts(random: Random, an_hour: float, longest: int) -> np.ndarray:
    active = np.zeros(DAY)
    for begin in random.integers(0, DAY, int(24 * an_hour)):
        active[begin : begin + int(random.integers(1, longest + 1))] = 1.0
    return active
