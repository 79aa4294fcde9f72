"""One courier serves many runs: none of them holds up the others, and it ends when it should."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.sync import sync

from .conftest import couriers_of, until

SINK = '''
import json, time
from pathlib import Path
from touchline.tracking.sinks.base import SinkUnavailable

class LineSink:
    """Appends what arrives to a file; by its id a run may "hang", always "fail", or be "slow"."""
    name, append_only = "lines", True

    def __init__(self, settings):
        self.directory = settings.home / "lines"
        self.directory.mkdir(exist_ok=True)

    def check(self):
        if (self.directory / "down").exists():
            raise SinkUnavailable("The lines are down.")

    def open(self, run, delivered, sent):
        if "fail" in run.id:
            raise SinkUnavailable("This run cannot be opened.")
        return LineSession(self.directory / run.id, run.id, delivered)

class LineSession:
    url = ""

    def __init__(self, path, remote_id, delivered):
        self.path, self.remote_id, self.resume_from, self.done = path, remote_id, delivered, delivered

    def send(self, events):
        while "hang" in self.remote_id:
            time.sleep(1.0)
        if "slow" in self.remote_id:
            time.sleep(0.1)
        with self.path.with_suffix(".batches").open("a") as file:
            file.write(f"{len(events)}\\n")
        with self.path.open("a") as file:
            for event in events:
                file.write(json.dumps([event.seq, event.kind, event.step, dict(event.payload)]) + "\\n")
                self.done = event.seq
        return []

    def acknowledged(self):
        return self.done

    def high_water(self):
        return {}

    def close(self, status, reason, alert):
        self.path.with_suffix(".status").write_text(status)

    def release(self):
        pass
'''


@pytest.fixture
def lines(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home with a sink of another package, found by its entry point."""
    package = tmp_path / "site"
    (package / "line_sink-1.0.dist-info").mkdir(parents=True)
    (package / "line_sink.py").write_text(SINK)
    (package / "line_sink-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: line-sink\nVersion: 1.0\n"
    )
    entry = "[touchline.sinks]\nlines = line_sink:LineSink\n"
    (package / "line_sink-1.0.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]))
    yield Settings(home=home, sinks=("lines",))
    sys.modules.pop("line_sink", None)


def steps(settings: Settings, run_id: str) -> list[int]:
    """Steps of the metrics that the sink has, in order of arrival."""
    path = settings.home / "lines" / run_id
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row[2] for row in rows if row[1] == "metrics"]


def test_a_run_that_hangs_its_sink_holds_up_no_other(lines: Settings) -> None:
    hanging = touchline.start_run("train", settings=lines, run_id="a-hang")
    hanging.log({"x": 1}, 1)
    until(lambda: couriers_of(lines.home))
    with touchline.start_run("train", settings=lines, run_id="b") as run:
        for step in range(2_500):
            run.log({"x": step}, step)
    assert run.delivery().complete
    assert steps(lines, "b") == list(range(2_500))
    assert hanging.finish(timeout=0.0)["lines"].pending > 0


def test_a_run_that_fails_alone_is_told_and_holds_up_no_other(lines: Settings) -> None:
    failing = touchline.start_run("train", settings=lines, run_id="a-fail")
    with touchline.start_run("train", settings=lines, run_id="b") as run:
        run.log({"x": 1}, 1)
    assert run.delivery().complete
    delivery = failing.finish(timeout=10.0)
    assert delivery["lines"].state == "waiting"
    assert "cannot be opened" in delivery["lines"].reason


def test_a_courier_does_not_outlive_its_deadline(lines: Settings) -> None:
    short = dataclasses.replace(lines, courier_seconds=1.0)
    run = touchline.start_run("train", settings=short, run_id="hang")
    run.log({"x": 1}, 1)
    until(lambda: couriers_of(lines.home))
    run.finish(timeout=0.0)
    until(lambda: not couriers_of(lines.home), 20.0)


def test_rows_that_come_one_by_one_are_delivered_together_while_the_training_goes_on(lines: Settings) -> None:
    run = touchline.start_run("train", settings=lines, run_id="slow")
    run.log({"x": 0}, 0)
    assert run.wait_delivered("lines", 300)
    batches = lines.home / "lines" / "slow.batches"
    before = len(batches.read_text().splitlines())
    for step in range(1, 401):
        run.log({"x": step}, step)
        time.sleep(0.01)
    # A batch takes 0.1 s: without rests there would be some 40 of them.
    assert len(batches.read_text().splitlines()) - before <= 20
    assert run.finish(timeout=300.0).complete
    assert steps(lines, "slow") == list(range(401))


def test_an_outage_of_the_far_side_is_told_while_training_goes_on(
    lines: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("touchline.tracking.notices.LOOK_SECONDS", 0.05)
    (lines.home / "lines").mkdir()
    (lines.home / "lines" / "down").touch()
    run = touchline.start_run("train", settings=lines)
    until(lambda: "The lines are down. Training goes on" in caplog.text)
    (lines.home / "lines" / "down").unlink()
    assert run.finish().complete
    assert caplog.text.count("The lines are down") == 1


def test_what_a_deadline_left_is_delivered_by_sync(lines: Settings) -> None:
    (lines.home / "lines").mkdir()
    (lines.home / "lines" / "down").touch()
    with touchline.start_run("train", settings=lines, run_id="b") as run:
        run.log({"x": 1}, 1)
    assert not run.delivery().complete
    began = time.monotonic()
    assert sync(lines, timeout=20).exit_code == 1
    assert time.monotonic() - began < 20
    (lines.home / "lines" / "down").unlink()
    assert sync(lines, timeout=20).exit_code == 0
    assert steps(lines, "b") == [1]
    assert (lines.home / "lines" / "b.status").read_text() == "finished"
