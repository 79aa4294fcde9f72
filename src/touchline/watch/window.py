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
        self._brief_window = self._detail_window = _EMPTY
        self._brief: Summary | None = None
        self._detail: Summary | None = None
        self._everything: Summary = {}
        self._newest: Summary = {}
        self._newest_everything: Summary = {}
        self._newest_until = 0.0

    def add(self, values: Mapping[str, float], until: float) -> None:
        """Take one sample, which stands for what comes after it as far as ``until``; only one thread may."""
        brief = {name: value for name, value in values.items() if is_brief(name)}
        detail = {name: value for name, value in values.items() if name not in brief}
        brief_alone, detail_alone = _EMPTY.grown(brief), _EMPTY.grown(detail)
        # Computed outside the lock, so that who takes does not wait; what is taken meanwhile begins anew with this.
        brief_window, detail_window = self._brief_window.grown(brief), self._detail_window.grown(detail)
        newest, newest_everything = dict(brief_alone.summary), {**brief_alone.summary, **detail_alone.summary}
        with self._lock:
            self._brief_window = brief_alone if self._brief is None else brief_window
            self._detail_window = detail_alone if self._detail is None else detail_window
            self._brief, self._detail = dict(self._brief_window.summary), dict(self._detail_window.summary)
            self._everything = {**self._brief, **self._detail}
            self._newest, self._newest_everything, self._newest_until = newest, newest_everything, until

    def take(self, detail: bool, now: float) -> Summary:
        """Return the summaries since they were last taken, the caller's to keep.

        Without ``detail`` what only some log steps tell goes on. Without a sample since then, the newest one, if it
        stands for ``now``.
        """
        with self._lock:
            brief, self._brief = self._brief, None
            everything, newest, until = self._everything, self._newest, self._newest_until
            more: Summary | None = None
            if detail:
                more, self._detail, newest = self._detail, None, self._newest_everything
        if brief is not None:
            return everything if detail else brief
        found = dict(newest) if now <= until else {}
        if more is not None:
            found.update(more)
        return found
