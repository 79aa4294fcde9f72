"""A disk that is full, read-only, emptied or damaged: told with its remedy, and training goes on."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import pytest

import touchline
from tests.jobs.test_recorder import events, recorder_of, train
from tests.tracking.conftest import couriers_of, until
from touchline.checkpoint import CheckpointStore
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.journal import JournalReader

from .conftest import Ext4Disk, fill


def steps(run: touchline.Run) -> list[int | None]:
    with JournalReader(run.directory / "journal.db") as journal:
        return [event.step for event in journal.of_kind(["metrics"])]


def test_a_full_disk_is_told_and_nothing_is_lost_once_there_is_space(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = touchline.start_run("train", settings=Settings(home=small_disk / "home", sinks=("tensorboard",)))
    run.log({"loss": 1.0}, 0)
    filler = fill(small_disk)
    until(lambda: run.log({"loss": 0.5}, run._step + 1) or run._writer.error is not None)
    began = time.monotonic()
    for step in range(run._step + 1, run._step + 1_000):
        run.log({"loss": 0.5, "filler": step}, step)
    assert time.monotonic() - began < 2.0
    last = run._step
    assert "is full" in caplog.text and "Free some space" in caplog.text
    with pytest.raises(TouchlineError, match=r"could not be copied .*No space"):
        run.log_artifact(filler)
    filler.unlink()
    delivery = run.finish(timeout=300)
    assert steps(run) == list(range(last + 1))
    assert delivery.complete


def test_a_disk_that_stays_full_lets_the_loop_end_and_says_what_is_missing(small_disk: Path) -> None:
    run = touchline.start_run("train", settings=Settings(home=small_disk / "home", sinks=(), capture=()))
    fill(small_disk)
    until(lambda: run.log({"loss": 0.5}, run._step + 1) or run._writer.error is not None)
    with pytest.raises(TouchlineError, match=r"events of run .* are not in its journal.*is full"):
        run.finish(timeout=1.0)


def test_a_run_on_a_full_disk_says_so_at_its_start(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(TouchlineError, match=r"is full.*TOUCHLINE_HOME="):
        touchline.start_run("train", settings=Settings(home=small_disk / "home", sinks=()))


def test_a_disk_that_turns_read_only_is_told_and_keeps_what_was_committed(
    ext4_disk: Ext4Disk, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=ext4_disk.place / "home", sinks=("tensorboard",))
    run = touchline.start_run("train", settings=settings, run_id="r1")
    for step in range(100):
        run.log({"loss": 0.5}, step)
    assert run._writer.flush(5.0)
    os.sync()  # what only the kernel's memory has is lost with a broken disk, as in a power cut
    ext4_disk.break_it()
    for step in range(100, 5_000):
        run.log({"loss": 0.5}, step)
    with pytest.raises(TouchlineError, match="(?i)read-only"):
        run.log_artifact(__file__)
    with pytest.raises(TouchlineError, match=r"cannot be written.*TOUCHLINE_HOME="):
        touchline.start_run("train", settings=settings, run_id="r2")
    with pytest.raises(TouchlineError, match="are not in its journal"):
        run.finish(timeout=1.0)
    assert "Training goes on; the events wait in memory" in caplog.text
    for process in couriers_of(settings.home):
        process.kill()
        process.wait()
    ext4_disk.repair()
    assert steps(run)[:100] == list(range(100))
    assert touchline.sync(settings, timeout=300).exit_code == 0


def test_a_removed_run_directory_is_put_back_with_all_that_was_logged(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = touchline.start_run("train", settings=Settings(home=home, sinks=("tensorboard",)), run_id="r1")
    for step in range(100):
        run.log({"loss": 0.5}, step)
    assert run.wait_delivered("tensorboard", 300)
    shutil.rmtree(run.directory)
    with caplog.at_level(logging.WARNING, "touchline"):
        for step in range(100, 200):
            run.log({"loss": 0.5}, step)
            time.sleep(0.002)
        run.finish(timeout=30)
    assert steps(run) == list(range(200))
    assert caplog.text.count(f"{run.directory}/journal.db was removed while its run goes on") == 1
    assert touchline.sync(Settings(home=home, sinks=("tensorboard",)), timeout=300).complete

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(200))


def test_another_file_in_the_journals_place_is_not_overwritten(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run = touchline.start_run("train", settings=alone, run_id="r1")
    run.log({"loss": 1.0}, 0)
    assert run._writer.flush(5.0)
    file = run.directory / "journal.db"
    file.rename(file.with_name("moved.db"))
    file.write_text("mine")
    run.log({"loss": 1.0}, 1)
    with pytest.raises(TouchlineError, match="another file has taken its place"):
        run.finish(timeout=1.0)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be looked at" * 100])
def test_a_run_beside_a_damaged_one_starts_and_the_damaged_one_says_what_to_do(
    alone: Settings, damage: bytes
) -> None:
    directory = alone.run_directory("r1")
    directory.mkdir(parents=True)
    (directory / "journal.db").write_bytes(damage)
    if damage:
        with pytest.raises(TouchlineError, match=r"journal\.db cannot be read.*resume=.*mv "):
            touchline.start_run("train", settings=alone, run_id="r1")
        other = touchline.start_run("train", settings=alone, run_id="r2")
        assert other.finish().complete
    else:  # what a process leaves that is killed as it makes the file
        assert touchline.start_run("train", settings=alone, run_id="r1").finish().complete


def test_a_damaged_journal_is_set_aside_when_there_is_a_checkpoint_to_resume_from(
    alone: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    with touchline.start_run("train", settings=alone, run_id="r1") as run:
        for step in range(3_000):
            run.log({"loss": 0.5, "other": step}, step)
        run.save_journal(checkpoint)
    file = run.directory / "journal.db"
    content = bytearray(file.read_bytes())
    content[8_192:40_960] = b"\xa5" * 32_768
    file.write_bytes(content)
    with touchline.start_run("train", settings=alone, resume=checkpoint) as again:
        again.log({"loss": 0.1}, 3_000)
    assert again.id == "r1"
    assert steps(again) == list(range(3_001))
    assert "is kept as journal.db.damaged-" in caplog.text
    assert [path.read_bytes() for path in run.directory.glob("journal.db.damaged-*")] == [bytes(content)]


def test_a_disk_that_is_full_costs_a_job_its_checkpoint_and_not_the_training(checkpoint_disk: Path) -> None:
    settings = Settings(home=checkpoint_disk / "home", sinks=(), capture=())
    with touchline.start_run("pretrain", settings=settings) as run:
        with recorder_of(run) as recorder:
            train(recorder, 20_480, every=20_480)
            recorder._store.wait()
            (checkpoint_disk / "filler").write_bytes(b"\0" * (shutil.disk_usage(checkpoint_disk).free - 5_000_000))
            train(recorder, 61_440, every=20_480)
        assert recorder.last is not None and recorder.last.step == 61_440
        newest = CheckpointStore(run.directory / "checkpoints").latest()
        assert newest is not None and newest.step == 20_480
    run.finish(timeout=10)
    assert "Checkpoint not saved" in [payload["title"] for _, payload in events(run, "alert")]
