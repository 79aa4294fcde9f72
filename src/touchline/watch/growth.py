"""Whether memory grows so that it will be full."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchline.errors import at_least

FEWEST_SPANS = 8
FULL = 100.0
_OFF_THE_LINE = 0.1
Array = NDArray[np.float64]


@dataclass(frozen=True)
class ForecastConfig:
    """What makes a growth one that will fill the memory."""

    evidence_seconds: float = 20.0
    """Growth over a shorter time says nothing yet."""
    urgent_seconds: float = 60.0
    """Memory that will be full within these seconds is told at once. Else what remains may not be longer than the
    growth that was seen: what has lasted so long goes on for as long with even odds (Gott, Nature 363, 1993)."""
    horizon_seconds: float = 14_400.0
    """Memory that will be full later than that is not told yet."""
    deviation: float = 0.2
    """How far nine tenths of the points may lie off a straight line, as a share of the growth: a step is no trend."""
    steady: float = 0.75
    """Growth of a later half, as a share of that of the earlier one, from which on it is not slowing down."""
    resting: float = 0.25
    """Growth in the last quarter, as a share of that of the whole, up to which it has come to rest."""
    hold_seconds: float = 3.0
    """A forecast has to stand for so long before it is believed."""
    empty_percent: float = 5.0
    """Memory below this has no training in it yet."""
    start_seconds: float = 60.0
    """So long after it was empty, growth is that of a start and is not told."""
    gap_seconds: float = 60.0
    """Without a sample for longer, what was seen before counts no more."""

    def __post_init__(self) -> None:
        at_least(0.0, self, "evidence_seconds", "urgent_seconds", "horizon_seconds", "deviation", "steady")
        at_least(0.0, self, "resting", "hold_seconds", "empty_percent", "start_seconds", "gap_seconds")


class Span(NamedTuple):
    """Memory over a stretch of time, in percent."""

    at: float
    """Monotonic seconds at its end."""
    low: float
    """What was never given back: the trend of this is the leak."""
    high: float
    """What has to fit into the memory."""


@dataclass(frozen=True)
class Growth:
    """A growth that fills the memory if it goes on."""

    at: float
    """Monotonic seconds at its end so far."""
    low: float
    high: float
    """Percent at its beginning and at its end."""
    rate: float
    """Percentage points a second."""
    remaining: float
    """Seconds from ``at`` until 100 %."""
    seen: float
    """Seconds from its beginning to ``at``."""

    @property
    def full_at(self) -> float:
        """Monotonic seconds of 100 %."""
        return self.at + self.remaining

    def is_given_back(self, percent: float) -> bool:
        """Whether half of it is gone when the memory is ``percent`` full."""
        return percent <= (self.low + self.high) / 2.0


def extrapolate(spans: Sequence[Span], config: ForecastConfig) -> Growth | None:
    """Return the growth that these spans show, or None when they show none that fills the memory soon.

    A straight line of the lows (Theil and Sen) gives the rate; one that slows down from half to half goes on to do so
    (the damped trend of Gardner and McKenzie, Management Science 31, 1985).
    """
    if len(spans) < FEWEST_SPANS:
        return None
    first, last = spans[0], spans[-1]
    seen = last.at - first.at
    horizon = max(config.urgent_seconds, min(seen, config.horizon_seconds))
    # Most memory stands still most of the time, and this is all that it costs then.
    if seen < config.evidence_seconds or (last.low - first.low) * horizon < 0.5 * (FULL - last.high) * seen:
        return None
    at, low, high = np.array(spans).T
    rate = theil_sen(at, low)
    recent = len(spans) // 4
    if not _is_steady(at, low, rate, recent, config):
        return None
    top = float(high[-recent:].max())
    remaining = _damped(at, low, rate, FULL - top, config.steady)
    return Growth(last.at, first.low, top, rate, remaining, seen) if remaining <= horizon else None


def _is_steady(at: Array, low: Array, rate: float, recent: int, config: ForecastConfig) -> bool:
    """Whether memory grows along a line of this rate and still did over the ``recent`` last points."""
    if rate <= 0.0:
        return False
    offsets = low - rate * at
    off = np.quantile(np.abs(offsets - np.median(offsets)), 1.0 - _OFF_THE_LINE)
    lately = (low[-1] - low[-1 - recent]) / (at[-1] - at[-1 - recent])
    return bool(off <= config.deviation * rate * (at[-1] - at[0]) and lately >= config.resting * rate)


def _damped(at: Array, low: Array, rate: float, room: float, steady: float) -> float:
    """Seconds until ``room`` percentage points are filled."""
    half = len(at) // 2
    before, now = theil_sen(at[: half + 1], low[: half + 1]), theil_sen(at[half:], low[half:])
    if now >= steady * before:
        return max(room, 0.0) / rate
    if now <= 0.0:
        return math.inf
    seconds, keeps = float(at[-1] - at[half]), now / before
    left = 1.0 - room * (1.0 - keeps) / (now * seconds * keeps)
    return seconds * math.log(left) / math.log(keeps) if left > 0.0 else math.inf


def theil_sen(at: Array, values: Array) -> float:
    """Median slope over all pairs of points (Sen, JASA 63, 1968); up to 29 % of the points may be anywhere.

    ``at``: rising, shape (n,) with n ≥ 2. ``values``: shape (n,).
    """
    earlier, later = _pairs(len(at))
    slopes = (values[later] - values[earlier]) / (at[later] - at[earlier])
    slopes.sort()
    return float(slopes[len(slopes) // 2])


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count, 1)
