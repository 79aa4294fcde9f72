"""Which (metric, step) pairs a run has logged, so that a second value for one of them is noticed."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable

Logged = tuple[tuple[str, ...], int]
"""The names of the metrics of one event, and its step."""


class StepIndex:
    """Remembers steps in 8 bytes an event; steps that grow, the usual case, cost one look per metric."""

    def __init__(self, floor: int | None = None, load: Callable[[], Iterable[Logged]] | None = None) -> None:
        """``floor``: the journal already has steps up to this one, and ``load`` reads them when one is asked for."""
        self._floor = floor
        self._load = load
        self._newest: dict[str, int] = {}
        self._steps: dict[tuple[str, ...], array[int]] = {}

    def add(self, names: Iterable[str], step: int) -> list[str]:
        """Add an event's metrics; returns those that had a value at this step before, which stay as they were."""
        newest, known = self._newest, []
        names = tuple(names)
        late = False
        for name in names:
            last = newest.get(name)
            if last is None or step > last:
                newest[name] = step
            else:
                late = True
        if late or (self._floor is not None and step <= self._floor):
            self._read_floor(step)
            known = [name for name in names if self._has(name, step)]
            if known:
                names = tuple(name for name in names if name not in known)
        if names:
            self._insert(names, step)
        return known

    def _has(self, name: str, step: int) -> bool:
        return any(name in names and _contains(steps, step) for names, steps in self._steps.items())

    def _insert(self, names: tuple[str, ...], step: int) -> None:
        steps = self._steps.get(names)
        if steps is None:
            steps = self._steps[names] = array("q")
        if not steps or step > steps[-1]:
            steps.append(step)
        else:
            steps.insert(bisect_left(steps, step), step)

    def _read_floor(self, step: int) -> None:
        if self._load is None or self._floor is None or step > self._floor:
            return
        load, self._load = self._load, None
        for names, logged in load():
            self._insert(names, logged)


def _contains(steps: array[int], step: int) -> bool:
    place = bisect_left(steps, step)
    return place < len(steps) and steps[place] == step
