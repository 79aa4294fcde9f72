"""The conformance suite of sinks: derive a class from ``SinkConformance`` in your tests and name your far side.

    class TestMySink(SinkConformance):
        @pytest.fixture
        def far_side(self, tmp_path):
            return MyFarSide(tmp_path)

Each test writes a real journal and delivers it with the very code that couriers use.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from touchline.tracking.delivery import Cursor, read_cursor
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, Journal, JournalReader
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.rewind import Timeline
from touchline.tracking.route import Route
from touchline.tracking.sinks.base import RunInfo, Sink, SinkUnavailable

PATIENCE_SECONDS = 60.0
STATUSES = ("finished", "failed", "killed", "preempted", "pruned")
_DESTINATION = "conformance"


class FarSide(ABC):
    """What the suite must know of the far side under test; one may serve many tests, each has a run of its own."""

    keeps_history = True
    """False where only the newest value of each metric can be read back."""

    @abstractmethod
    def sink(self) -> Sink:
        """Build the sink, as a new courier does."""

    @abstractmethod
    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        """Read back what the far side shows: all values of each (metric, step)."""

    @abstractmethod
    def status(self, run_id: str) -> str | None:
        """Read back how the run ended; None where the far side knows no status."""

    def unreachable(self) -> Sink | None:
        """Build a sink whose far side cannot be reached; None where that cannot happen."""
        return None


class RecordedRun:
    """A run with a real journal, and its delivery as a courier does it."""

    def __init__(self, parent: Path, run_id: str | None = None) -> None:
        """Begin a run in a directory of its own below ``parent``."""
        self.id = run_id or f"conformance-{secrets.token_hex(4)}"
        self.directory = parent / self.id
        self.directory.mkdir(parents=True)
        self._journal = Journal(self.directory / FILE_NAME)
        self.record("start", _start(self.id))

    def record(self, kind: str, payload: Mapping[str, Any], step: int | None = None) -> int:
        """Append an event; returns its sequence number."""
        return self._journal.append([(kind, step, time.time(), encode(kind, payload))])

    def log(self, step: int, **metrics: float) -> int:
        """Append metrics."""
        return self.record("metrics", metrics, step)

    def end(self, status: str = "finished", reason: str = "") -> int:
        """Append the end."""
        return self.record("end", {"status": status, "reason": reason})

    def info(self) -> RunInfo:
        """What a sink gets to open the run."""
        with JournalReader(self.directory / FILE_NAME) as journal:
            start = journal.newest("start")
        assert start is not None
        return RunInfo.from_start(start, self.directory)

    def cursor(self, sink: Sink) -> Cursor:
        """How far the delivery has come."""
        return read_cursor(self.directory, sink.name)

    def deliver(self, sink: Sink) -> Cursor:
        """Deliver all there is, and the end when there is one; returns the cursor. Fails when it takes too long."""
        route = Route.find(self.directory, sink.name, _DESTINATION, True, 0.0)
        assert route is not None, "the journal has no start"
        with JournalReader(self.directory / FILE_NAME) as journal:
            last, end, start = journal.last_seq(), journal.newest("end"), journal.newest("start")
        assert start is not None
        ended = end is not None and end.seq > start.seq
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            moved = route.advance(sink)
            cursor = self.cursor(sink)
            assert cursor.state != "refused", cursor.reason
            if cursor.state == "done" or (not ended and cursor.delivered >= last):
                route.release()
                return self.cursor(sink)
            assert time.monotonic() < deadline, f"{last - cursor.delivered} events were not acknowledged in time"
            if not moved:
                time.sleep(0.02)

    def forget_delivery(self) -> None:
        """Lose the cursors, as a machine does that died."""
        shutil.rmtree(self.directory / "delivery", ignore_errors=True)

    def expected(self) -> dict[tuple[str, int], float]:
        """The values of the newest attempt, by (metric, step)."""
        with JournalReader(self.directory / FILE_NAME) as journal:
            timeline = Timeline.of(journal.of_kind(["rewind"]))
            current = [event for event in journal.of_kind(["metrics"]) if timeline.is_current(event)]
        return {(name, event.step or 0): value for event in current for name, value in event.metrics.items()}


def _start(run_id: str) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "job": "conformance",
        "name": run_id,
        "project": "touchline-conformance",
        "process": ProcessIdentity.current().to_mapping(),
        "sinks": {},
        "resumed": False,
        "command": ["conformance"],
    }


class SinkConformance:
    """What every sink must do. A subclass gives the fixture ``far_side``."""

    @pytest.fixture
    def far_side(self) -> FarSide:
        """The far side under test; to be overridden."""
        raise NotImplementedError("Give a fixture far_side that returns a FarSide.")

    @pytest.fixture
    def recorded(self, tmp_path: Path) -> RecordedRun:
        """A run that has begun."""
        return RecordedRun(tmp_path / "runs")

    @pytest.fixture
    def shows(self, far_side: FarSide, recorded: RecordedRun) -> Callable[..., None]:
        """Compare what the far side shows with the journal, or with other values."""

        def compare(expected: Mapping[tuple[str, int], float] | None = None) -> None:
            wanted = recorded.expected() if expected is None else dict(expected)
            if not far_side.keeps_history:
                newest = {name: max(step for other, step in wanted if other == name) for name, _ in wanted}
                wanted = {(name, step): value for (name, step), value in wanted.items() if newest[name] == step}
            found = {key: list(values) for key, values in far_side.values(recorded.id).items()}
            assert found == {key: [pytest.approx(value, rel=1e-6)] for key, value in wanted.items()}

        return compare

    def test_a_run_arrives_whole(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None], tmp_path: Path
    ) -> None:
        (recorded.directory / "media").mkdir()
        (recorded.directory / "media" / "note.txt").write_text("hello")
        recorded.record("params", {"rate": 0.1, "net.layers": [2, 3]})
        recorded.record("tags", {"team": "red"})
        for step in range(50):
            recorded.log(step, loss=1.0 / (step + 1), reward=float(step))
        recorded.record("artifact", {"name": "note.txt", "path": "media/note.txt"}, 49)
        recorded.record("alert", {"title": "hot", "text": "too hot", "level": "warn"}, 49)
        recorded.end()
        sink = far_side.sink()
        cursor = recorded.deliver(sink)
        assert cursor.set_aside == ()
        assert cursor.closed == "finished"
        shows()

    def test_what_is_sent_twice_is_shown_once(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for step in range(5):
            recorded.log(step, x=float(step))
        sink = far_side.sink()
        with JournalReader(recorded.directory / FILE_NAME) as journal:
            events = journal.after(0)
        session = sink.open(recorded.info(), 0, events[-1].seq)
        session.send(events)
        session.send(events)
        session.release()
        recorded.end()
        recorded.deliver(far_side.sink())
        shows()

    def test_a_machine_that_lost_its_cursors_repeats_nothing(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for step in range(5):
            recorded.log(step, x=float(step))
        recorded.deliver(far_side.sink())
        recorded.forget_delivery()
        recorded.log(5, x=5.0)
        recorded.end()
        recorded.deliver(far_side.sink())
        shows()

    def test_a_session_that_is_opened_again_goes_on(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for part in range(3):
            for step in range(10 * part, 10 * part + 10):
                recorded.log(step, x=float(step))
            recorded.deliver(far_side.sink())
        recorded.end()
        recorded.deliver(far_side.sink())
        shows()

    def test_a_run_that_ended_and_is_continued_goes_on(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        recorded.log(1, x=1.0)
        recorded.end("failed")
        recorded.deliver(far_side.sink())
        recorded.record("start", {**_start(recorded.id), "resumed": True})
        recorded.log(2, x=2.0)
        recorded.end("finished")
        recorded.deliver(far_side.sink())
        shows()
        assert far_side.status(recorded.id) in ("finished", None)

    def test_events_without_content_are_acknowledged(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        recorded.log(1, x=1.0)
        last = recorded.log(2)  # all of it was filtered out on the way
        assert recorded.deliver(far_side.sink()).delivered == last
        shows()

    def test_a_poison_event_blocks_nothing(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        recorded.log(1, good=1.0)
        recorded.record("artifact", {"name": "gone.txt", "path": "media/gone.txt"}, 1)
        recorded.record("image", {"name": "gone", "path": "media/gone.png", "caption": ""}, 1)
        recorded.record("params", {"rate": 0.1})
        recorded.record("params", {"rate": 0.2})
        recorded.record("metrics", {"a@b/../c": 1.0, "n" * 400: 1.0}, 1)
        recorded.log(2, good=2.0)
        last = recorded.end()
        assert recorded.deliver(far_side.sink()).delivered == last
        good = {key: values for key, values in far_side.values(recorded.id).items() if key[0] == "good"}
        wanted = {("good", 1): [1.0], ("good", 2): [2.0]} if far_side.keeps_history else {("good", 2): [2.0]}
        assert {key: list(values) for key, values in good.items()} == wanted

    def test_values_that_are_not_finite_are_not_taken_for_others(
        self, far_side: FarSide, recorded: RecordedRun
    ) -> None:
        recorded.log(1, nan=math.nan, up=math.inf, down=-math.inf, good=1.0)
        recorded.end()
        recorded.deliver(far_side.sink())
        found = far_side.values(recorded.id)
        assert list(found["good", 1]) == [1.0]
        for name in ("nan", "up", "down"):
            values = list(found.get((name, 1), ()))
            assert len(values) <= 1
            assert all(not math.isfinite(value) or abs(value) > 1e300 for value in values)

    @pytest.mark.parametrize("status", STATUSES)
    def test_the_end_is_told_truly(self, status: str, far_side: FarSide, recorded: RecordedRun) -> None:
        recorded.log(1, x=1.0)
        recorded.end(status, "because")
        assert recorded.deliver(far_side.sink()).closed == status
        assert far_side.status(recorded.id) in (status, None)

    def test_unknown_kinds_are_ignored(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        recorded.record("from-the-future", {"anything": [1, {"x": None}]}, 3)
        recorded.log(4, x=1.0)
        last = recorded.end()
        cursor = recorded.deliver(far_side.sink())
        assert (cursor.delivered, cursor.set_aside) == (last, ())
        shows()

    def test_late_and_unordered_steps_survive(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for step in (5, 3, 9, 4, 1):
            recorded.log(step, x=float(step))
        recorded.log(2, y=1.0)
        recorded.end()
        recorded.deliver(far_side.sink())
        shows()

    def test_a_rewind_before_the_delivery_leaves_the_newest_attempt(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for step in range(6):
            recorded.log(step, x=float(step))
        recorded.record("rewind", {"restored": False, "from": 5}, 2)
        recorded.log(3, x=33.0)
        recorded.end()
        recorded.deliver(far_side.sink())
        shows()

    def test_a_rewind_after_the_delivery_never_shows_two_values_for_a_step(
        self, far_side: FarSide, recorded: RecordedRun, shows: Callable[..., None]
    ) -> None:
        for step in range(6):
            recorded.log(step, x=float(step))
        sink = far_side.sink()
        recorded.deliver(sink)
        before = recorded.expected()
        recorded.record("rewind", {"restored": False, "from": 5}, 2)
        for step in range(3, 8):
            recorded.log(step, x=100.0 + step)
        recorded.end()
        recorded.deliver(far_side.sink())
        # Where nothing can be taken back, the first value stays.
        shows({**recorded.expected(), **before} if sink.append_only else None)

    def test_an_unreachable_far_side_says_so(self, far_side: FarSide) -> None:
        sink = far_side.unreachable()
        if sink is None:
            pytest.skip("This far side can always be reached.")
        began = time.monotonic()
        with pytest.raises(SinkUnavailable) as told:
            sink.check()
        assert len(str(told.value)) > 20, "the reason is a sentence with a remedy"
        assert time.monotonic() - began < 30.0

    def test_the_name_is_a_file_name(self, far_side: FarSide) -> None:
        name = far_side.sink().name
        assert json.dumps(name) == f'"{name}"'
        assert Path(name).name == name
