"""A far side that takes nothing back gets one value for each (metric, step), whatever dies and however a run rewinds.

The real route and real cursors deliver to a far side in memory, which is the model: a dictionary.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from touchline.testing.sinks import RecordedRun
from touchline.tracking import route
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.rewind import Attempt, Rewind, Timeline
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable

Key = tuple[str, int]


class Killed(BaseException):
    """The courier died here."""


@dataclass
class Memory:
    """The far side: which event gave each (metric, step) its value, and what each event was sent as."""

    first: dict[Key, int] = field(default_factory=dict)
    doubled: list[tuple[Key, int, int]] = field(default_factory=list)
    sent_as: dict[int, set[frozenset[str]]] = field(default_factory=dict)
    handed: dict[str, int] = field(default_factory=dict)
    """Newest step of each metric that was handed over, arrived or not."""
    has: int = 0

    name = "memory"
    append_only = True
    trouble = "none"

    def check(self) -> None:
        pass

    def open(self, run: RunInfo, delivered: int, sent: int) -> MemorySession:
        # As MLflow's sink: what this machine sent it may send again; beyond it is another one's.
        return MemorySession(self, delivered if delivered <= self.has <= sent else self.has)


class MemorySession:
    remote_id = "m"
    url = ""

    def __init__(self, memory: Memory, resume_from: int) -> None:
        self.memory, self.resume_from, self._done = memory, resume_from, resume_from

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        memory, trouble = self.memory, self.memory.trouble
        memory.trouble = "none"
        for event in events:
            for name in event.payload if event.kind == "metrics" else ():
                memory.handed[name] = max(event.step or 0, memory.handed.get(name, -1))
        if trouble == "down":
            raise SinkUnavailable("played outage")
        for event in events[: len(events) // 2] if trouble == "killed halfway" else events:
            self._take(event)
        if trouble.startswith("killed"):
            raise Killed
        self._done = events[-1].seq
        return []

    def _take(self, event: Event) -> None:
        if event.kind == "metrics":
            self.memory.sent_as.setdefault(event.seq, set()).add(frozenset(event.payload))
            for name in event.payload:
                key = (name, event.step or 0)
                known = self.memory.first.setdefault(key, event.seq)
                if known != event.seq:
                    self.memory.doubled.append((key, known, event.seq))
        self.memory.has = max(self.memory.has, event.seq)

    def acknowledged(self) -> int:
        return self._done

    def high_water(self) -> Mapping[str, int]:
        marks: dict[str, int] = {}
        for name, step in self.memory.first:
            marks[name] = max(step, marks.get(name, step))
        return marks

    def close(self, status: str, reason: str, alert: bool) -> None:
        pass

    def release(self) -> None:
        pass


class History:
    """A run with its courier, and what the model knows of it."""

    def __init__(self, place: Path) -> None:
        self.run = RecordedRun(place, "r1")
        self.far = Memory()
        self.step = 0
        self.logged: set[Key] = set()
        self.high: dict[int, dict[str, int]] = {}
        """At each rewind, by sequence number: the newest step of each metric that the far side may have had."""
        self._route: route.Route | None = None

    def log(self, names: Sequence[str], stride: int) -> None:
        step = max(self.step + stride, 0)
        fresh = [name for name in names if (name, step) not in self.logged]  # the writer sets the others aside
        if fresh:
            self.logged |= {(name, step) for name in fresh}
            self.run.log(step, **dict.fromkeys(fresh, 1.0))
        self.step = max(step, self.step)

    def rewind(self, back: int) -> None:
        step = max(self.step - back, 0)
        seq = self.run.record("rewind", {}, step)
        self.logged = {key for key in self.logged if key[1] <= step}
        self.step = step
        self.high[seq] = dict(self.far.handed)

    def deliver(self, trouble: str) -> bool:
        self.far.trouble = trouble
        try:
            if self._route is None:
                self._route = route.Route.find(self.run.directory, "memory", "conformance", True, 0.0)
                assert self._route is not None
            return self._route.advance(self.far)
        except SinkUnavailable as error:
            assert self._route is not None
            self._route.mark_waiting(error, tried=True)
        except Killed:
            self._route = None
        finally:
            self.far.trouble = "none"
        return True

    def lose_cursor(self) -> None:
        self._route = None
        self.run.forget_delivery()
        if self.high:  # of what is there, nobody knows any more from which attempt it is
            self.high[0] = dict(self.far.handed)

    def finish(self) -> None:
        self.run.end()
        while self.run.cursor(self.far).state != "done":  # type: ignore[arg-type]
            self.deliver("none")


TROUBLES = ("none", "none", "down", "killed halfway", "killed after")
moves = st.one_of(
    st.tuples(
        st.just("log"), st.sampled_from([("x",), ("x", "y"), ("y",)]), st.sampled_from([1, 1, 1, 2, 5, -1, -3])
    ),
    st.tuples(st.just("deliver"), st.sampled_from(TROUBLES)),
    st.tuples(st.just("rewind"), st.integers(0, 8)),
    st.tuples(st.just("lose_cursor")),
)


# Back to 2, on to 7, back to that: 4 is late, and the far side has it from the first attempt.
TWO_REWINDS_AND_A_LATE_STEP = [
    *[("log", ("x",), 1)] * 10,
    *[("deliver", "none")] * 6,
    ("rewind", 8),
    ("log", ("x",), 5),
    ("rewind", 0),
    ("log", ("x",), -3),
]


# Nothing was told before either of the two: what is late after them is new.
TWO_REWINDS_OF_NOTHING = [
    ("log", ("x",), 1),
    ("rewind", 0),
    ("log", ("y",), 1),
    ("log", ("x",), 1),
    ("rewind", 0),
    ("log", ("x",), -1),
]


@given(history=st.lists(moves, max_size=40))
@example(TWO_REWINDS_AND_A_LATE_STEP)
@example(TWO_REWINDS_OF_NOTHING)
@examples(max_examples=150)
def test_no_history_tells_a_value_twice_or_loses_a_new_one(history: list[tuple]) -> None:  # type: ignore[type-arg]
    place = Path(tempfile.mkdtemp())
    try:
        with mock.patch.object(route, "BATCH", 3):
            play(History(place), history)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_cursor_of_an_earlier_version_keeps_every_name_above_its_one_floor() -> None:
    old = {"marks": {"x": 9, "y": 4}, "floor": 3, "ceiling": {"x": 9, "y": 4}}
    assert Attempt.from_plain(old).floors == {"x": 3, "y": 3}
    assert Attempt.from_plain({"marks": {"x": 9}}).floors == {}
    assert Attempt.from_plain(asdict(Attempt.from_plain(old))) == Attempt.from_plain(old)


def play(story: History, history: Sequence[tuple]) -> None:  # type: ignore[type-arg]
    for name, *arguments in history:
        getattr(story, name)(*arguments)
    story.finish()
    far = story.far
    assert far.doubled == []
    assert all(len(forms) == 1 for forms in far.sent_as.values())
    with JournalReader(story.run.directory / FILE_NAME) as journal:
        timeline = Timeline.of(journal.of_kind(["rewind"]))
        for event in journal.of_kind(["metrics"]):
            if not timeline.is_current(event):
                continue
            before = [high for seq, high in story.high.items() if seq < event.seq]
            for name in event.payload:
                if all((event.step or 0) > high.get(name, -1) for high in before):
                    assert far.first[name, event.step or 0] == event.seq


@pytest.mark.parametrize(
    ("rewinds", "current"),
    [
        ([], [1, 2, 3, 4, 5, 6]),
        ([(7, 3)], [1, 2, 3]),
        ([(4, 1)], [1, 4, 5, 6]),
        ([(4, 2), (7, 1)], [1]),
        ([(3, 1), (5, 4)], [1, 3, 4, 5, 6]),
    ],
)
def test_a_timeline_knows_the_rows_of_the_newest_attempt(rewinds: list[tuple[int, int]], current: list[int]) -> None:
    timeline = Timeline(Rewind(seq, step) for seq, step in rewinds)
    events = [Event(seq, "metrics", seq, 0.0, {"x": 1}) for seq in range(1, 7)]
    assert [event.seq for event in events if timeline.is_current(event)] == current
