"""A run's way to an append-only far side: crashes, rewinds and lost cursors never show a point twice."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from touchline.tracking import route as routes
from touchline.tracking.delivery import read_cursor
from touchline.tracking.encoding import encode
from touchline.tracking.journal import RESTORE_GAP, Event, Journal, JournalReader
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.rewind import Timeline
from touchline.tracking.route import Route
from touchline.tracking.sinks.base import RunInfo, SetAside


class Crash(BaseException):
    """The courier is killed."""


class FarSide:
    """Keeps what arrives; as MLflow does, it recognises a replay only by its time, which here is unique."""

    name, append_only = "memory", True

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, float], float] = {}
        self.newest = 0
        self.crash_after: int | None = None
        self.tells = True
        """Whether it says itself what it has."""

    def check(self) -> None:
        """Always there."""

    def open(self, run: RunInfo, delivered: int, sent: int) -> FarSession:
        return FarSession(self, self.newest if self.tells else delivered)

    def points(self) -> dict[tuple[str, int], list[float]]:
        points: dict[tuple[str, int], list[float]] = {}
        for (name, step, _), value in self.rows.items():
            points.setdefault((name, step), []).append(value)
        return points


class FarSession:
    remote_id, url = "1", ""

    def __init__(self, far: FarSide, resume_from: int) -> None:
        self.far = far
        self.resume_from = self.done = resume_from

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        for event in events:
            if self.far.crash_after is not None:
                self.far.crash_after -= 1
                if self.far.crash_after < 0:
                    self.far.crash_after = None
                    raise Crash
            if event.kind == "metrics":
                for name, value in event.metrics.items():
                    self.far.rows[(name, event.step or 0, event.time)] = value
            self.far.newest = max(self.far.newest, event.seq)
            self.done = event.seq
        return []

    def acknowledged(self) -> int:
        return self.done

    def high_water(self) -> Mapping[str, int]:
        marks: dict[str, int] = {}
        for name, step, _ in self.far.rows:
            marks[name] = max(step, marks.get(name, step))
        return marks

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Nothing to tell."""

    def release(self) -> None:
        """Nothing is held."""


class Trainer:
    """Writes a journal as a run does, with a time of its own for each event."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.journal = Journal(directory / "journal.db")
        self.time = 0.0
        self.attempt: dict[tuple[str, int], float] = {}
        """Points of the newest attempt."""
        self.append("start", None, START)

    def append(self, kind: str, step: int | None, payload: Mapping[str, Any]) -> None:
        self.time += 1.0
        self.journal.append([(kind, step, self.time, encode(kind, payload))])

    def log(self, step: int, name: str) -> None:
        if (name, step) not in self.attempt:
            value = self.time + 1.0
            self.attempt[(name, step)] = value
            self.append("metrics", step, {name: value})

    def rewind(self, step: int) -> None:
        self.append("rewind", step, {})
        self.attempt = {key: value for key, value in self.attempt.items() if key[1] <= step}


START = {
    "run_id": "r",
    "job": "train",
    "name": "r",
    "project": "p",
    "process": ProcessIdentity.current().to_mapping(),
    "sinks": {"memory": "here"},
}


def deliver(directory: Path, far: FarSide, crash_after: int | None = None) -> None:
    """Let a courier of its own deliver what there is, or crash after so many events."""
    far.crash_after = crash_after
    route = Route.find(directory, "memory", "here", drain=False, thin_seconds=0.0)
    assert route is not None
    with contextlib.suppress(Crash):
        while route.advance(far):
            pass
    far.crash_after = None


LOG = st.tuples(st.just("log"), st.integers(1, 30), st.sampled_from("ab"))
ACTIONS = st.lists(
    st.one_of(
        LOG,
        LOG,
        LOG,
        st.tuples(st.just("rewind"), st.integers(0, 30), st.none()),
        st.tuples(st.just("deliver"), st.none(), st.none()),
        st.tuples(st.just("crash"), st.integers(0, 8), st.none()),
        st.tuples(st.just("lose cursor"), st.none(), st.none()),
    ),
    max_size=50,
)


TWICE_BACK = [
    ("log", 1, "a"), ("deliver", None, None), ("rewind", 0, None), ("rewind", 1, None), ("deliver", None, None),
    ("lose cursor", None, None), ("log", 1, "a"),
]  # fmt: skip
"""The cursor is lost after two rewinds, of which the first superseded all that had been handed over."""


@settings(max_examples=150)
@example(actions=TWICE_BACK, batch=1, tells=True)
@given(actions=ACTIONS, batch=st.sampled_from([1, 3, 1_000]), tells=st.booleans())
def test_each_metric_has_one_value_a_step_and_the_first_stays(
    actions: list[tuple[str, Any, Any]], batch: int, tells: bool
) -> None:
    directory = Path(tempfile.mkdtemp()) / "r"
    before = routes.BATCH
    routes.BATCH = batch
    try:
        trainer, far = Trainer(directory), FarSide()
        far.tells = tells
        shown: dict[tuple[str, int], list[float]] = {}
        for action, number, name in actions:
            if action == "log":
                trainer.log(number, name)
            elif action == "rewind":
                trainer.rewind(number)
            elif action == "lose cursor":
                if tells:
                    shutil.rmtree(directory / "delivery", ignore_errors=True)
            else:
                deliver(directory, far, number if action == "crash" else None)
            now = far.points()
            assert all(len(values) == 1 for values in now.values()), now
            assert {key: now[key] for key in shown} == shown, "a shown value changed"
            shown = now
        deliver(directory, far)
        final, marks = far.points(), FarSession(far, 0).high_water()
        assert all(len(values) == 1 for values in final.values()), final
        if not any(action == "rewind" for action, _, _ in actions):
            assert final == {key: [value] for key, value in trainer.attempt.items()}
        floor = min((number for action, number, _ in actions if action == "rewind"), default=10**9)
        for key, value in trainer.attempt.items():
            if key[1] <= floor:
                assert final[key] == [value], key
        for name in "ab":
            newest = max((step for n, step in trainer.attempt if n == name), default=0)
            assert marks.get(name, 0) >= newest, "the newest attempt goes further than what is shown"
        with JournalReader(directory / "journal.db") as journal:
            timeline = Timeline.of(journal.of_kind(["rewind"]))
            current = [event for event in journal.of_kind(["metrics"]) if timeline.is_current(event)]
        assert {(n, e.step): v for e in current for n, v in e.metrics.items()} == trainer.attempt
    finally:
        routes.BATCH = before
        shutil.rmtree(directory.parent)


def test_a_restored_journal_goes_on_where_the_far_side_is(tmp_path: Path) -> None:
    far, trainer = FarSide(), Trainer(tmp_path / "first" / "r")
    for step in range(1, 6):
        trainer.log(step, "a")
    with JournalReader(trainer.directory / "journal.db") as journal:
        copy = tmp_path / "journal.db"
        journal.backup(copy)
    for step in range(6, 9):
        trainer.log(step, "a")
    deliver(trainer.directory, far)
    lost = far.points()

    directory = tmp_path / "second" / "r"
    directory.mkdir(parents=True)
    shutil.copyfile(copy, directory / "journal.db")
    second = Trainer(directory)
    second.journal.skip(RESTORE_GAP)
    second.time = 1_000.0
    second.rewind(5)
    for step in range(6, 12):
        second.log(step, "a")
    deliver(directory, far)
    points = far.points()
    assert {key: points[key] for key in lost} == lost
    assert sorted(points) == [("a", step) for step in range(1, 12)]
    assert all(len(values) == 1 for values in points.values())


def test_what_arrived_before_a_crash_counts_as_shown_after_a_rewind(tmp_path: Path) -> None:
    far, trainer = FarSide(), Trainer(tmp_path / "r")
    far.tells = False  # only the cursor knows, and the courier died before it was moved
    trainer.log(2, "a")
    trainer.log(3, "a")
    deliver(trainer.directory, far, crash_after=2)
    assert list(far.points()) == [("a", 2)]
    trainer.rewind(1)
    for step in (2, 3, 4):
        trainer.log(step, "a")
    deliver(trainer.directory, far)
    points = far.points()
    assert sorted(points) == [("a", 2), ("a", 3), ("a", 4)]
    assert all(len(values) == 1 for values in points.values()), points


def test_the_cursor_is_not_moved_by_what_is_only_handed_over(tmp_path: Path) -> None:
    far, trainer = FarSide(), Trainer(tmp_path / "r")
    for step in range(1, 6):
        trainer.log(step, "a")
    deliver(trainer.directory, far, crash_after=3)
    cursor = read_cursor(trainer.directory, "memory")
    assert (cursor.delivered, cursor.sent) == (0, 6)
    deliver(trainer.directory, far)
    assert read_cursor(trainer.directory, "memory").delivered == 6


@pytest.mark.parametrize("seconds, kept", [(0.0, 5), (2.0, 3)])
def test_a_thinned_sink_gets_fewer_points_and_lacks_nothing_else(tmp_path: Path, seconds: float, kept: int) -> None:
    far, trainer = FarSide(), Trainer(tmp_path / "r")
    for step in range(1, 6):
        trainer.log(step, "a")
    route = Route.find(trainer.directory, "memory", "here", drain=False, thin_seconds=seconds)
    assert route is not None
    while route.advance(far):
        pass
    assert len(far.points()) == kept
    assert read_cursor(trainer.directory, "memory").delivered == 6


def test_what_a_living_run_logs_is_gathered_and_its_end_waits_for_nothing(tmp_path: Path) -> None:
    far, trainer = FarSide(), Trainer(tmp_path / "r")
    trainer.log(1, "a")
    route = Route.find(trainer.directory, "memory", "here", drain=False, thin_seconds=0.0)
    assert route is not None and route.is_due(60.0)
    route.advance(far)
    trainer.log(2, "a")
    assert route.has_work() and route.is_due(0.0) and not route.is_due(60.0)
    trainer.append("end", None, {"status": "finished"})
    assert route.is_due(60.0)
