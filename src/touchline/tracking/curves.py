"""Curves of a run's newest attempt, reduced to what a terminal can show; memory is bounded whatever was logged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from touchline.tracking.journal import JournalReader
from touchline.tracking.rewind import Timeline

MACHINE = ("gpu", "host", "jax", "torch", "cost", "time", "speed", "system")
"""First parts of the names of what is known of machine, cost and pace; ``system`` is W&B's, of imported runs."""
_MOST_BINS = 512


def is_of_machine(name: str) -> bool:
    """Whether a metric tells of the machine, what it costs or its pace, and not of what is learned."""
    return name.partition("/")[0] in MACHINE and "/" in name


@dataclass
class Curve:
    """One metric over its steps: counts and extremes are exact, the line is the mean of each bin of steps."""

    name: str
    points: int = 0
    not_finite: int = 0
    last: float = math.nan
    last_step: int = 0
    first_step: int = 0
    """Lowest step with a finite value."""
    final_step: int = 0
    """Highest step with one."""
    lowest: float = math.inf
    highest: float = -math.inf
    _width: int = 1
    _bins: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Number of the bin → (mean, count)."""

    def add(self, step: int, value: float) -> None:
        """Take the next value."""
        self.points += 1
        self.last, self.last_step = value, step
        if not math.isfinite(value):
            self.not_finite += 1
            return
        if not self._bins:
            self.first_step = self.final_step = step
        self.first_step, self.final_step = min(self.first_step, step), max(self.final_step, step)
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        self._put(step // self._width, value, 1)
        while len(self._bins) > _MOST_BINS:
            before, self._bins, self._width = self._bins, {}, self._width * 2
            for place, (mean, count) in before.items():
                self._put(place // 2, mean, count)

    def line(self) -> list[tuple[float, float]]:
        """(step, mean value) in the order of steps; finite values only."""
        middle = (self._width - 1) / 2
        return [
            (min(max(place * self._width + middle, self.first_step), self.final_step), mean)
            for place, (mean, _) in sorted(self._bins.items())
        ]

    def _put(self, place: int, mean: float, count: int) -> None:
        before, old_count = self._bins.get(place, (0.0, 0))
        share = count / (old_count + count)
        # A sum of the largest floats would be infinite.
        self._bins[place] = (before * (1.0 - share) + mean * share, old_count + count)


def read_curves(journal: JournalReader) -> dict[str, Curve]:
    """Every metric of the newest attempt by name, in the order of their first value."""
    timeline = Timeline.of(journal.of_kind(["rewind"]))
    curves: dict[str, Curve] = {}
    for event in journal.all():
        if event.kind == "metrics" and event.step is not None and timeline.is_current(event):
            for name, value in event.payload.items():
                curve = curves.get(name) or curves.setdefault(name, Curve(name))
                curve.add(event.step, float(value))
    return curves
