"""What happened between two log steps: means, and how low and high it went."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Windows:
    """What every log step tells, and what only some tell."""

    brief: Window = field(default_factory=Window)
    detail: Window = field(default_factory=Window)

    def grown(self, values: Mapping[str, float]) -> Windows:
        """Return both with one more sample in them, each series in its own."""
        brief = {name: value for name, value in values.items() if is_brief(name)}
        detail = {name: value for name, value in values.items() if name not in brief}
        return Windows(self.brief.grown(brief), self.detail.grown(detail))
