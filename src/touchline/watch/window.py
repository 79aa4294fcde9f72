"""What happened between two log steps: means, and how low and high it went."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

_BRIEF = frozenset({"utilization_percent", "memory_percent", "memory_used_gb"})
_PEAKING = frozenset({"utilization_percent", "memory_percent", "temperature", "power_watts"})
_COUNTING = frozenset({"xid", "energy_wh", "usd", "usd_wasted"})


def is_brief(name: str) -> bool:
    """Whether a series belongs into every log step; of the driver's only utilisation and memory do."""
    return not name.startswith("gpu/") or name.rpartition("/")[2] in _BRIEF


def is_peaking(name: str) -> bool:
    """Whether the lowest and the highest value matter beside the mean."""
    return not name.startswith("host/") and name.rpartition("/")[2] in _PEAKING


def is_counting(name: str) -> bool:
    """Whether only the newest value means anything."""
    return name.rpartition("/")[2] in _COUNTING


@dataclass(frozen=True, slots=True)
class _Series:
    newest: float
    total: float
    least: float
    most: float
    count: int

    def grown(self, value: float) -> _Series:
        least, most = min(self.least, value), max(self.most, value)
        return _Series(value, self.total + value, least, most, self.count + 1)


@dataclass(frozen=True)
class Window:
    """Samples of some time, summed up already, so that who takes the summary computes nothing."""

    series: Mapping[str, _Series] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)
    """Each series' mean; of what peaks also ``<name>/min`` and ``<name>/max``; of what counts the newest."""

    def grown(self, values: Mapping[str, float]) -> Window:
        """Return the window with one more sample in it."""
        series = dict(self.series)
        for name, value in values.items():
            before = series.get(name)
            series[name] = before.grown(value) if before else _Series(value, value, value, value, 1)
        return Window(series, _summary(series))


def _summary(window: Mapping[str, _Series]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, series in window.items():
        found[name] = series.newest if is_counting(name) else series.total / series.count
        if is_peaking(name):
            found[f"{name}/min"], found[f"{name}/max"] = series.least, series.most
    return found


Summary = dict[str, float]
_EMPTY = Window()


class Handover:
    """Windows between two threads: one adds samples, the other takes summaries, and computes and frees nothing.

    What every log step tells and what only some tell have windows of their own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._brief: Summary | None = None
        self._detail: Summary | None = None
        self._brief_window = self._detail_window = _EMPTY
        self.newest: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {})
        """Summaries of the newest sample alone, brief and detail; not to be changed."""

    def add(self, values: Mapping[str, float]) -> None:
        """Take one sample; only one thread may."""
        brief = {name: value for name, value in values.items() if is_brief(name)}
        detail = {name: value for name, value in values.items() if name not in brief}
        brief_alone, detail_alone = _EMPTY.grown(brief), _EMPTY.grown(detail)
        # Computed outside the lock, so that who takes does not wait; what is taken meanwhile begins anew with this.
        brief_window, detail_window = self._brief_window.grown(brief), self._detail_window.grown(detail)
        with self._lock:
            self._brief_window = brief_alone if self._brief is None else brief_window
            self._detail_window = detail_alone if self._detail is None else detail_window
            self._brief, self._detail = dict(self._brief_window.summary), dict(self._detail_window.summary)
            self.newest = brief_alone.summary, detail_alone.summary

    def take(self, detail: bool) -> tuple[Summary | None, Summary | None]:
        """Return the summaries since they were last taken, the caller's to keep; None without a sample since then.

        Without ``detail`` the second one goes on, and None stands in its place.
        """
        with self._lock:
            brief, self._brief = self._brief, None
            more = None
            if detail:
                more, self._detail = self._detail, None
        return brief, more
