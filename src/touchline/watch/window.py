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


@dataclass
class _Series:
    newest: float
    total: float
    least: float
    most: float
    count: int = 1

    def add(self, value: float) -> None:
        self.newest = value
        self.total += value
        self.count += 1
        self.least = min(self.least, value)
        self.most = max(self.most, value)


@dataclass
class Window:
    """Samples since it began."""

    series: dict[str, _Series] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Take one value of a series."""
        series = self.series.get(name)
        if series is None:
            self.series[name] = _Series(value, value, value, value)
        else:
            series.add(value)

    def summary(self) -> dict[str, float]:
        """Return each series' mean, of what peaks also ``<name>/min`` and ``<name>/max``, of a count the newest."""
        found: dict[str, float] = {}
        for name, series in self.series.items():
            found[name] = series.newest if is_counting(name) else series.total / series.count
            if is_peaking(name):
                found[f"{name}/min"], found[f"{name}/max"] = series.least, series.most
        return found


def summary_of(values: Mapping[str, float]) -> dict[str, float]:
    """Return the summary of one sample."""
    window = Window()
    for name, value in values.items():
        window.add(name, value)
    return window.summary()
