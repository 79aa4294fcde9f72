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
    """The lowest step of a rewind since something was handed over: what lies above may be of an earlier attempt."""
    ceiling: Mapping[str, int] = field(default_factory=dict)
    """The marks at that rewind: between floor and these the far side has the values of an earlier attempt."""

    def take(self, events: Sequence[Event], timeline: Timeline) -> tuple[Attempt, list[Event]]:
        """Advance over ``events``; returns them with what the far side still wants, in the same number and order."""
        marks, floor, ceiling = dict(self.marks), self.floor, dict(self.ceiling)
        wanted: list[Event] = []
        for event in events:
            if event.kind == "rewind":
                floor = min(floor, event.step or 0) if ceiling else event.step or 0
                for name, mark in marks.items():
                    ceiling[name] = max(mark, ceiling.get(name, mark))
            elif event.kind in STEPPED and (step := event.step) is not None:
                if not timeline.is_current(event):
                    wanted.append(_only(event, ()))
                    continue
                names = names_of(event)
                if ceiling and step > floor:
                    new = [name for name in names if step > max(ceiling.get(name, -1), ceiling.get(ALL, -1))]
                    if len(new) < len(names):
                        event, names = _only(event, new), new
                for name in names:
                    if step > marks.get(name, -1):
                        marks[name] = step
            wanted.append(event)
        return replace(self, marks=marks, floor=floor, ceiling=ceiling), wanted

    def knowing(self, high_water: Mapping[str, int]) -> Attempt:
        """The same, with what the far side was found to have already.

        Which attempt its values are of cannot be seen there, so after a rewind all of them count as an earlier one's.
        """
        ceiling = _higher(self.ceiling, high_water) if self.floor >= 0 else self.ceiling
        return replace(self, marks=_higher(self.marks, high_water), ceiling=ceiling)


def _higher(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, -1), other.get(name, -1)) for name in {**one, **other}}


def names_of(event: Event) -> Sequence[str]:
    """The names an event gives a value to at its step."""
    return list(event.payload) if event.kind == "metrics" else [str(event.payload["name"])]


def _only(event: Event, names: Sequence[str]) -> Event:
    """The event with only these names left; one of another kind than metrics becomes an empty row."""
    kept: dict[str, Any] = {name: event.payload[name] for name in names} if event.kind == "metrics" else {}
    return Event(event.seq, "metrics", event.step, event.time, kept)
