"""Rewinds: a run resumed from a checkpoint at step S logs anew what it had logged after S.

The journal keeps every attempt. ``Timeline`` says which rows belong to the newest one; ``Attempt`` says what a far
side that cannot take anything back still wants: the first value of each (metric, step) stays there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from touchline.tracking.journal import Event

STEPPED = frozenset(("metrics", "video", "image", "histogram", "table"))
"""Kinds whose place is a training step, so that a rewind supersedes them."""
ALL = "*"
"""In a high water: every name."""


@dataclass(frozen=True)
class Rewind:
    """The run went back to ``step`` at the sequence number ``seq``."""

    seq: int
    step: int


class Timeline:
    """Tells the rows of the newest attempt from those that a later rewind superseded."""

    def __init__(self, rewinds: Iterable[Rewind] = ()) -> None:
        self.rewinds = tuple(sorted(rewinds, key=lambda rewind: rewind.seq))
        self._seqs = [rewind.seq for rewind in self.rewinds]
        lowest: list[int] = []
        for rewind in reversed(self.rewinds):
            lowest.append(min(rewind.step, lowest[-1]) if lowest else rewind.step)
        self._lowest = lowest[::-1]

    @classmethod
    def of(cls, events: Iterable[Event]) -> Timeline:
        """The timeline that the ``rewind`` events among ``events`` make."""
        return cls(Rewind(event.seq, event.step or 0) for event in events if event.kind == "rewind")

    def is_current(self, event: Event) -> bool:
        """False for a row that a later rewind superseded."""
        if not self._seqs or event.kind not in STEPPED or event.step is None:
            return True
        later = bisect_right(self._seqs, event.seq)
        return later == len(self._seqs) or event.step <= self._lowest[later]

    def current(self, events: Sequence[Event]) -> Sequence[Event]:
        """Those that no later rewind superseded."""
        return [event for event in events if self.is_current(event)] if self._seqs else events

    def until(self, seq: int) -> Timeline:
        """The timeline as it was when no rewind after ``seq`` was known."""
        return self if not self._seqs or self._seqs[-1] <= seq else Timeline(r for r in self.rewinds if r.seq <= seq)

    @property
    def newest(self) -> int:
        """Sequence number of the newest rewind, 0 without one."""
        return self._seqs[-1] if self._seqs else 0


@dataclass(frozen=True)
class Attempt:
    """What an append-only far side has of each metric, and up to where it must not be told a second time."""

    marks: Mapping[str, int] = field(default_factory=dict)
    """Newest step handed over, by name."""
    floor: int = -1
    """The lowest step of a rewind: what lies above may be of an earlier attempt."""
    ceiling: Mapping[str, int] = field(default_factory=dict)
    """The highest marks at rewinds, by name."""
    floors: Mapping[str, int] = field(default_factory=dict)
    """By name, the lowest step of the rewinds below its mark: from there to its ceiling the far side has the values
    of an earlier attempt. A rewind to where a metric had not come yet left none of it."""

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Attempt:
        """Read back the fields as a cursor keeps them; one of before ``floors`` has its one floor for every name."""
        attempt = cls(**values)
        if "floors" in values or attempt.floor < 0:
            return attempt
        return replace(attempt, floors=dict.fromkeys(attempt.ceiling, attempt.floor))

    def take(self, events: Sequence[Event], timeline: Timeline) -> tuple[Attempt, list[Event]]:
        """Advance over ``events``; returns them with what the far side still wants, in the same number and order."""
        marks, floor, ceiling, floors = dict(self.marks), self.floor, dict(self.ceiling), dict(self.floors)
        wanted: list[Event] = []
        for event in events:
            if event.kind == "rewind":
                back = event.step or 0
                floor = min(floor, back) if floor >= 0 else back
                for name, mark in marks.items():
                    ceiling[name] = max(mark, ceiling.get(name, mark))
                    if mark > back:
                        floors[name] = min(back, floors.get(name, back))
            elif event.kind in STEPPED and (step := event.step) is not None:
                if not timeline.is_current(event):
                    wanted.append(_only(event, ()))
                    continue
                names = names_of(event)
                if floors:
                    told = {key for key, low in floors.items() if low < step <= ceiling[key]}
                    new = [] if ALL in told else [name for name in names if name not in told]
                    if len(new) < len(names):
                        event, names = _only(event, new), new
                for name in names:
                    if step > marks.get(name, -1):
                        marks[name] = step
            wanted.append(event)
        return Attempt(marks, floor, ceiling, floors), wanted

    def knowing(self, high_water: Mapping[str, int]) -> Attempt:
        """The same, with what the far side was found to have already.

        Which attempt its values are of cannot be seen there, so after a rewind all of them count as an earlier one's.
        """
        known = replace(self, marks=_higher(self.marks, high_water))
        if self.floor < 0:
            return known
        floors = {**self.floors, **dict.fromkeys(high_water, self.floor)}
        return replace(known, ceiling=_higher(self.ceiling, high_water), floors=floors)


def _higher(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, -1), other.get(name, -1)) for name in {**one, **other}}


def names_of(event: Event) -> Sequence[str]:
    """The names an event gives a value to at its step."""
    return list(event.payload) if event.kind == "metrics" else [str(event.payload["name"])]


def _only(event: Event, names: Sequence[str]) -> Event:
    """The event with only these names left; one of another kind than metrics becomes an empty row."""
    kept: dict[str, Any] = {name: event.payload[name] for name in names} if event.kind == "metrics" else {}
    return Event(event.seq, "metrics", event.step, event.time, kept)
