"""A run goes on where it stopped: here, after a rewind, or on another machine."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.journal import RESTORE_GAP, Event, JournalReader
from touchline.tracking.rewind import Timeline


@pytest.fixture
def alone(home: Path) -> Settings:
    """No sink at all: the journal only."""
    return Settings(home=home, sinks=())


def events(run: touchline.Run, *kinds: str) -> list[Event]:
    with JournalReader(run.directory / "journal.db") as journal:
        return journal.of_kind(kinds)


def newest_attempt(run: touchline.Run) -> list[tuple[int | None, float]]:
    with JournalReader(run.directory / "journal.db") as journal:
        timeline = Timeline.of(journal.of_kind(["rewind"]))
        return [(e.step, e.metrics["x"]) for e in journal.of_kind(["metrics"]) if timeline.is_current(e)]


def test_a_rewind_supersedes_what_came_after_and_keeps_it(alone: Settings) -> None:
    with touchline.start_run("train", settings=alone, run_id="r", config={"rate": 1}) as run:
        for step in range(5):
            run.log({"x": step}, step)
    with touchline.start_run("train", settings=alone, run_id="r", resume=2, config={"rate": 1}) as run:
        run.log({"x": 10.0})  # a second value for step 2, where the run is
        for step in (3, 4):
            run.log({"x": 10 + step}, step)
    assert newest_attempt(run) == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 13.0), (4, 14.0)]
    assert len(events(run, "metrics")) == 7
    assert [event.payload for event in events(run, "duplicate")] == [{"x": 10.0}]
    assert [event.step for event in events(run, "rewind")] == [2]
    assert len(events(run, "params")) == 1


def test_a_checkpoint_restores_the_run_on_another_machine(alone: Settings, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    run = touchline.start_run("train", settings=alone, run_id="r")
    for step in range(4):
        run.log({"x": step}, step)
    run.save_journal(checkpoint)
    run.log({"x": 4.0}, 4)
    run.finish()
    last = events(run, "end")[0].seq
    shutil.rmtree(run.directory)
    with touchline.start_run("train", settings=alone, resume=checkpoint) as run:
        assert run.id == "r"
        run.log({"x": 40.0}, 4)
    assert newest_attempt(run) == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
    assert events(run, "rewind")[0].payload["restored"]
    assert events(run, "rewind")[0].seq > RESTORE_GAP > last, "a lost machine may have used the numbers between"


def test_a_checkpoint_of_a_journal_that_is_still_here_only_rewinds(alone: Settings, tmp_path: Path) -> None:
    run = touchline.start_run("train", settings=alone)
    run.log({"x": 1.0}, 1)
    run.save_journal(tmp_path, step=1)
    run.log({"x": 2.0}, 2)
    run.finish()
    with touchline.start_run("train", settings=alone, resume=str(tmp_path)) as again:
        again.log({"x": 3.0}, 2)
    assert again.id == run.id
    assert newest_attempt(again) == [(1, 1.0), (2, 3.0)]
    assert len(events(again, "metrics")) == 3


def test_the_copy_of_a_journal_is_whole_while_the_run_goes_on(alone: Settings, tmp_path: Path) -> None:
    run = touchline.start_run("train", settings=alone)
    for copy in range(5):
        for step in range(1_000):
            run.log({f"x{copy}": step}, step)
        directory = tmp_path / str(copy)
        directory.mkdir()
        with JournalReader(run.save_journal(directory)) as journal:
            assert len(journal.of_kind(["metrics"])) == 1_000 * (copy + 1)
        assert [path.name for path in directory.iterdir()] == ["journal.db"]
    run.finish()


def test_there_must_be_something_to_resume_from(alone: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs the run_id"):
        touchline.start_run("train", settings=alone, resume=5)
    with pytest.raises(UsageError, match="no run absent"):
        touchline.start_run("train", settings=alone, run_id="absent", resume=5)
    with pytest.raises(UsageError, match="no copy of a journal"):
        touchline.start_run("train", settings=alone, resume=tmp_path)
    with touchline.start_run("train", settings=alone, run_id="one") as run:
        run.save_journal(tmp_path)
    with pytest.raises(UsageError, match="belongs to run one"):
        touchline.start_run("train", settings=alone, run_id="two", resume=tmp_path)


def test_a_copy_that_cannot_be_written_is_told_and_training_goes_on(alone: Settings, tmp_path: Path) -> None:
    with touchline.start_run("train", settings=alone) as run:
        (tmp_path / "file").touch()
        with pytest.raises(TouchlineError, match="cannot be made"):
            run.save_journal(tmp_path / "file" / "below")
        with pytest.raises(TouchlineError, match="cannot be copied"):
            pickle.dumps(run)
        run.log({"x": 1.0}, 1)
    assert newest_attempt(run) == [(1, 1.0)]


def test_the_best_value_of_a_metric_with_a_goal_is_in_the_summary(alone: Settings) -> None:
    with touchline.start_run("train", settings=alone) as run:
        run.define_metric("return", "maximize")
        for step, value in enumerate((1.0, 5.0, float("nan"), 3.0)):
            run.log({"return": value}, step)
    assert events(run, "summary")[0].payload == {"best/return": 5.0, "best/return/step": 1}


def test_the_best_value_of_a_resumed_run_is_of_its_newest_attempt(alone: Settings) -> None:
    with touchline.start_run("train", settings=alone, run_id="r") as run:
        run.define_metric('a "quoted" return', "maximize")
        for step, value in enumerate((1.0, 2.0, 9.0)):
            run.log({'a "quoted" return': value}, step)
    with touchline.start_run("train", settings=alone, run_id="r", resume=1) as run:
        run.log({'a "quoted" return': 1.5}, 2)
    assert events(run, "summary")[1].payload == {
        'best/a "quoted" return': 2.0,
        'best/a "quoted" return/step': 1,
    }


def test_groups_and_parents_are_told_to_the_sinks(alone: Settings) -> None:
    with touchline.start_run("sweep", settings=alone, group="night") as parent:
        child = touchline.start_run("trial", settings=alone, parent=parent, group="night")
        child.finish()
    start = events(child, "start")[0].payload
    assert (start["parent"], start["group"]) == (parent.id, "night")


def test_a_journal_of_the_first_schema_goes_on(alone: Settings) -> None:
    with touchline.start_run("train", settings=alone, run_id="old") as run:
        run.log({"x": 1.0}, 1)
    code = f"import sqlite3; sqlite3.connect({str(run.directory / 'journal.db')!r}).execute('PRAGMA user_version=1')"
    subprocess.run([sys.executable, "-c", code], check=True)
    with touchline.start_run("train", settings=alone, run_id="old", resume=1) as run:
        run.log({"x": 2.0}, 2)
    assert newest_attempt(run) == [(1, 1.0), (2, 2.0)]
