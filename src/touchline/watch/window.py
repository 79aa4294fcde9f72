"""What happened between two log steps: means, and how low and high it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

_BRIEF = frozenset({"utilization_percent", "memory_percent", "memory_used_gb"})
_PEAKING = frozenset({"utilization_percent", "memory_percent", "temperature", "power_watts"})
_COUNTING = frozenset({"xid", "energy_wh", "usd", "usd_wasted"})


@cache
def is_brief(name: str) -> bool:
    """Whether a series belongs into every log step; of the driver's only utilisation and memory do."""
    return not name.startswith("gpu/") or name.rpartition("/")[2] in _BRIEF


@cache
def is_peaking(name: str) -> bool:
    """Whether the lowest and the highest value matter beside the mean."""
    return not name.startswith("host/") and name.rpartition("/")[2] in _PEAKING


@cache
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
_Part = Literal["brief", "detail"]
_EMPTY = Window()


@dataclass(frozen=True, slots=True)
class _Told:
    brief: Summary
    detail: Summary
    everything: Summary
    """Both."""


@dataclass(frozen=True, slots=True)
class _Newest:
    brief: Summary
    everything: Summary
    until: float


class Handover:
    """Windows between two threads: one adds samples, the other takes summaries, and computes and frees nothing.

    What every log step tells and what only some tell have windows of their own. There is no lock: a lock that nobody
    else holds takes longer than all the rest of a log step, for the training has pushed it out of the processor's
    caches. ``dict.pop`` is atomic instead, so that each summary has one taker, and who comes while there is none
    tells the newest sample.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Part, _Told] = {}
        self._newest = _Newest({}, {}, float("-inf"))
        self._brief_window = self._detail_window = _EMPTY
        self._kept: _Told | None = None

    def add(self, values: Mapping[str, float], until: float) -> None:
        """Take one sample, which stands for what comes after it as far as ``until``; only one thread may."""
        brief = {name: value for name, value in values.items() if is_brief(name)}
        detail = {name: value for name, value in values.items() if name not in brief}
        brief_alone, detail_alone = _EMPTY.grown(brief), _EMPTY.grown(detail)
        # Computed beforehand, so that little time passes between the two pops and what follows them.
        brief_window, detail_window = self._brief_window.grown(brief), self._detail_window.grown(detail)
        self._newest = _Newest(dict(brief_alone.summary), {**brief_alone.summary, **detail_alone.summary}, until)
        self._brief_window = brief_window if self._waiting.pop("brief", None) else brief_alone
        self._detail_window = detail_window if self._waiting.pop("detail", None) else detail_alone
        told = _Told(
            dict(self._brief_window.summary),
            dict(self._detail_window.summary),
            {**self._brief_window.summary, **self._detail_window.summary},
        )
        self._waiting["brief"] = self._waiting["detail"] = told
        # Whoever takes it is not the last to let go of it: it is freed here, at the next sample.
        self._kept = told

    def take(self, detail: bool, now: float) -> Summary:
        """Return the summaries since they were last taken, the caller's to keep.

        Without ``detail`` what only some log steps tell goes on. Without a sample since then, the newest one, if it
        stands for ``now``.
        """
        told = self._waiting.pop("brief", None)
        if not detail:
            if told is not None:
                return told.brief
            newest = self._newest
            return newest.brief.copy() if now <= newest.until else {}
        more = self._waiting.pop("detail", None)
        if told is not None and told is more:
            return told.everything
        newest = self._newest
        found = newest.everything.copy() if now <= newest.until else {}
        if told is not None:
            found |= told.brief
        if more is not None:
            found |= more.detail
        return found
