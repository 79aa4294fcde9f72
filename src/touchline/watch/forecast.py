"""When memory will be full, if it goes on filling as it does."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

from touchline.watch.growth import FEWEST_SPANS, FULL, ForecastConfig, Growth, Span, extrapolate
from touchline.watch.names import figure, gpus
from touchline.watch.snapshot import Snapshot

_ALLOCATORS = ("jax/", "torch/")
_SPANS = 20
_SCALES = 13
_LONGER_SCALES = 3
_REMEMBERED = 8
_ALIKE = 2.0
_OVERDUE = 2.0
_RESOLUTION_SECONDS = 0.9
_NOTHING = Span(-math.inf, math.inf, -math.inf)


@dataclass(frozen=True)
class Forecast:
    """Memory that will be full."""

    series: str
    """Name of the series in the snapshot."""
    percent: float
    """How full it is."""
    rate: float
    """Percentage points a second."""
    full_at: float
    """Monotonic seconds."""
    seen_seconds: float
    """How long it has grown like that."""


class MemoryForecast:
    """Follows every memory series of the snapshots, from seconds to half a day."""

    def __init__(self, config: ForecastConfig | None = None) -> None:
        self._config = config or ForecastConfig()
        self._trends: dict[str, Trend] = {}

    def observe(self, snapshot: Snapshot) -> Forecast | None:
        """Return the memory that will be full first, or None when none will."""
        soonest = None
        for owner in (*gpus(snapshot), *_ALLOCATORS):
            name = f"{owner}memory_percent"
            value = figure(snapshot, name)
            if value is None:
                continue
            trend = self._trends.get(name)
            if trend is None:
                trend = self._trends[name] = Trend(name, self._config)
            found = trend.add(snapshot.at, value)
            if found is not None and (soonest is None or found.full_at < soonest.full_at):
                soonest = found
        return soonest


class Trend:
    """One series at time scales that double: each merges two spans of the one below."""

    _scales: list[deque[Span]]
    _waiting: list[Span | None]
    _growths: list[Growth | None]
    _believed: Growth | None
    _open: Span

    def __init__(self, series: str, config: ForecastConfig) -> None:
        self._series, self._config = series, config
        self._wrong: deque[Growth] = deque(maxlen=_REMEMBERED)
        self._last = self._put_at = -math.inf
        self._forget()

    def add(self, at: float, value: float) -> Forecast | None:
        """Take a sample in percent; return the soonest forecast of any scale that still holds."""
        if at - self._last > self._config.gap_seconds:
            self._forget()
        self._last = at
        if value < self._config.empty_percent:
            self._empty = at
        self._open = Span(at, min(value, self._open.low), max(value, self._open.high))
        if at - self._put_at >= _RESOLUTION_SECONDS:
            self._put_at = at
            self._put(self._open)
            self._open = _NOTHING
        forecast = self._held(at, value)
        self._learn(at, value, forecast is None)
        return forecast

    def _put(self, span: Span | None) -> None:
        for scale in range(_SCALES):
            if span is None:
                return
            span = self._put_into(scale, span)

    def _put_into(self, scale: int, span: Span) -> Span | None:
        spans = self._scales[scale]
        spans.append(span)
        if scale == 0:
            _keep(spans, self._config.evidence_seconds)
        growth = extrapolate(spans, self._config)
        self._growths[scale] = growth if growth is not None and self._is_news(scale, growth) else None
        waiting = self._waiting[scale]
        if waiting is None:
            self._waiting[scale] = span
            return None
        self._waiting[scale] = None
        return Span(span.at, min(waiting.low, span.low), max(waiting.high, span.high))

    def _is_news(self, scale: int, growth: Growth) -> bool:
        """Whether it is not one that came to rest before."""
        known = [wrong.high for wrong in self._wrong if growth.rate <= _ALIKE * wrong.rate]
        if growth.remaining > self._config.urgent_seconds:
            begin = growth.at - growth.seen
            longer = self._scales[scale + 1 : scale + 1 + _LONGER_SCALES]
            known += [span.high for spans in longer for span in spans if span.at <= begin]
        return not known or FULL - growth.high <= growth.high - max(known)

    def _held(self, at: float, value: float) -> Forecast | None:
        found = [growth for growth in self._growths if growth is not None]
        holding = [growth for growth in found if at <= growth.full_at and not growth.is_given_back(value)]
        if not holding or at - self._empty < self._config.start_seconds:
            self._since = math.inf
            return None
        self._since = min(self._since, at)
        if at - self._since < self._config.hold_seconds:
            return None
        first = min(holding, key=lambda growth: growth.full_at)
        self._believed = self._believed or first
        return Forecast(self._series, first.high, first.rate, first.full_at, first.seen)

    def _learn(self, at: float, value: float, has_ended: bool) -> None:
        """Remember a growth that gave back half of what it took, or that was long to be full and came to rest."""
        growth = self._believed
        if growth is None:
            return
        if value > growth.high:
            self._believed = growth = replace(growth, high=value)
        is_overdue = has_ended and at > growth.at + _OVERDUE * growth.remaining
        if is_overdue or growth.is_given_back(value):
            self._wrong.append(growth)
            self._believed = None

    def _forget(self) -> None:
        self._scales = [deque(maxlen=_SPANS if scale else None) for scale in range(_SCALES)]
        self._waiting = [None] * _SCALES
        self._growths = [None] * _SCALES
        self._believed = None
        self._open = _NOTHING
        self._since, self._empty = math.inf, -math.inf


def _keep(spans: deque[Span], seconds: float) -> None:
    while len(spans) > FEWEST_SPANS and spans[-1].at - spans[1].at >= seconds:
        spans.popleft()
