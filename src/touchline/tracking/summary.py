"""The best value of each metric that has a goal, for a run's summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchline.tracking.journal import JournalReader
from touchline.tracking.rewind import Timeline


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

    def add_journal(self, journal: JournalReader) -> None:
        """Take what earlier processes logged too, the newest attempt alone: for a run that was resumed."""
        for event in journal.of_kind(["goal"]):
            self.goals.update({name: str(goal) for name, goal in event.payload.items()})
        timeline = Timeline.of(journal.of_kind(["rewind"]))
        self._best.clear()
        for name in self.goals:
            for event in journal.values(name):
                if timeline.is_current(event):
                    self.add(event.payload, event.step)

    def summary(self) -> dict[str, Any]:
        """``best/<metric>`` and ``best/<metric>/step`` of each metric with a goal and a value."""
        values: dict[str, Any] = {}
        for name, (value, step) in self._best.items():
            values[f"best/{name}"] = value
            values[f"best/{name}/step"] = step
        return values
