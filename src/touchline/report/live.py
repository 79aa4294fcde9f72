"""The curves of a run that goes on: read from its journal piece by piece, and told as what changed since a look."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from touchline.report.curves import Curve, Gathering
from touchline.tracking.journal import Event, JournalReader, inode_of
from touchline.tracking.rewind import Timeline

LIVE_BUCKETS = 500
"""Of one curve, an even number: about as many as a chart in two columns has columns of pixels."""
_BLOCK = 5_000
"""Events of one piece, after which the time is looked at."""


@dataclass(frozen=True)
class Change:
    """What came to one curve: its buckets from the number ``first`` on; those before are as they were."""

    first: int
    curve: Curve
    """With the arrays from there on; its figures are those of the whole."""


class LiveCurves:
    """Every metric of one run's newest attempt, in bounded memory; one thread at a time may use it.

    ``cursor`` grows with each piece that is read. Whoever was told everything up to an earlier one asks
    ``changes`` for what came since.
    """

    def __init__(self, path: Path) -> None:
        """``path``: the journal's."""
        self._path = path
        # In microseconds: what a page was told from another of these is older than anything of this one.
        self.cursor = time.monotonic_ns() // 1_000
        self._begin(Timeline(), None)

    def _begin(self, timeline: Timeline, identity: tuple[int, int] | None) -> None:
        self._timeline, self._identity = timeline, identity
        self._read = -1
        self._found = Gathering(most=LIVE_BUCKETS)
        self._changed: dict[str, int] = {}
        """Metric → cursor of its newest value."""
        self._filled: dict[str, list[int]] = {}
        """Metric → for each of its full buckets the cursor at which it became what it is."""
        self._widths: dict[str, int] = {}
        self._tangled: set[str] = set()
        """Metrics whose steps did not always grow, so that what came last is not the end of the line."""

    def advance(self, seconds: float) -> bool:
        """Read on for about so long; True when all that is there has been read.

        Raises TouchlineError when the journal cannot be read.
        """
        deadline = time.monotonic() + seconds
        with JournalReader(self._path) as journal:
            timeline, identity = Timeline.of(journal.of_kind(["rewind"])), inode_of(self._path)
            if timeline.rewinds != self._timeline.rewinds or identity != self._identity:
                self._begin(timeline, identity)
            for block in journal.metric_rows(_BLOCK, self._read):
                self._take(block)
                if time.monotonic() > deadline:
                    return False
        return True

    def curves(self) -> dict[str, Curve]:
        """All that was read, by metric, in the order of their first value."""
        return {name: buckets.curve(name) for name, buckets in self._found.buckets.items()}

    def last(self) -> dict[str, float]:
        """The newest value of each metric."""
        return {name: buckets.last for name, buckets in self._found.buckets.items()}

    def changes(self, since: int) -> dict[str, Change]:
        """What came after the cursor ``since``, by metric."""
        found = {}
        for name, buckets in self._found.buckets.items():
            if self._changed[name] > since:
                first = 0 if name in self._tangled else bisect_right(self._filled[name], since)
                found[name] = Change(first, _from(buckets.curve(name), first))
        return found

    def layout(self) -> tuple[tuple[str, bool], ...]:
        """Each metric, and whether it has a line: what decides which charts there are."""
        return tuple((name, buckets.points > 1) for name, buckets in self._found.buckets.items())

    def _take(self, block: Sequence[Event]) -> None:
        self._read = block[-1].seq
        self.cursor = max(self.cursor + 1, time.monotonic_ns() // 1_000)
        for name in self._found.take(self._timeline.current(block)):
            buckets = self._found.buckets[name]
            filled = self._filled.setdefault(name, [])
            if self._widths.get(name) != buckets.width:
                self._widths[name] = buckets.width
                filled.clear()
            filled += [self.cursor] * (buckets.full - len(filled))
            self._changed[name] = self.cursor
            if not buckets.is_in_order:
                self._tangled.add(name)


def _from(curve: Curve, first: int) -> Curve:
    arrays = {name: getattr(curve, name)[first:] for name in ("steps", "times", "low", "high", "mean")}
    return replace(curve, **arrays)
