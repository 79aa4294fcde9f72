"""The best value of each metric that has a goal, for a run's summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BestValues:
    """Follows the metrics that have a goal; fed by whoever writes the journal."""

    def __init__(self) -> None:
        self.goals: dict[str, str] = {}
        """Metric → maximize or minimize."""
        self._best: dict[str, tuple[float, int | None]] = {}

    def add(self, numbers: Mapping[str, float | int | str], step: int | None) -> None:
        """Take one event's values; NaN is never best."""
        for name, goal in list(self.goals.items()):
            if name in numbers:
                value = float(numbers[name])
                best = self._best.get(name)
                if value == value and (best is None or (value > best[0] if goal == "maximize" else value < best[0])):
                    self._best[name] = (value, step)

    def summary(self) -> dict[str, Any]:
        """``best/<metric>`` and ``best/<metric>/step`` of each metric with a goal and a value."""
        values: dict[str, Any] = {}
        for name, (value, step) in self._best.items():
            values[f"best/{name}"] = value
            values[f"best/{name}/step"] = step
        return values
