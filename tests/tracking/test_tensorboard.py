"""What TensorBoard reads from the event file."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import touchline
from touchline.config import Settings
from touchline.tracking.delivery import read_cursor, read_delivery
from touchline.tracking.journal import JournalReader

from .conftest import kill_couriers, trainer, until


def test_scalars_can_be_read_back_once_each_although_the_courier_was_killed(home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = touchline.start_run("train", config={"rate": 0.1}, settings=Settings(home=home, sinks=("tensorboard",)))
    for step in range(100):
        run.log({"x": step / 2, "none": math.nan}, step)
    assert run.wait_delivered("tensorboard", 30)
    assert kill_couriers(home)
    for step in range(100, 200):
        run.log({"x": step / 2}, step)
    run.alert("hot")
    delivery = run.finish(timeout=30)
    assert delivery.complete, delivery.sentences()
    events = EventAccumulator(str(run.directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(step, step / 2) for step in range(200)]
    assert all(math.isnan(event.value) for event in events.Scalars("none"))
    assert "alerts" in events.Tags()["tensors"]


def test_an_interrupt_from_the_terminal_ends_the_training_but_not_its_couriers(home: Path, tmp_path: Path) -> None:
    body = """
    for step in range(100_000):
        run.log({"x": step}, step)
        if step == 10:
            print("going", flush=True)
        time.sleep(0.01)
    """
    process = trainer(home, body, tmp_path, sinks=("tensorboard",))
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    process.wait(30)
    run_directory = home / "runs" / "r1"
    until(lambda: read_delivery(run_directory, ["tensorboard"]).complete)
    assert read_cursor(run_directory, "tensorboard").closed == "killed"
    with JournalReader(run_directory / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert end.payload["reason"] == "Interrupted from the keyboard."


def test_runs_of_one_process_one_after_another_and_at_once_are_all_delivered(home: Path) -> None:
    settings = Settings(home=home, sinks=("tensorboard",))
    outer = touchline.start_run("pipeline", settings=settings)
    for step in range(3):
        with touchline.start_run("train", settings=settings) as run:
            run.log({"x": step}, step)
        assert run.delivery().complete
        outer.log({"jobs": step}, step)
    assert outer.finish().complete
