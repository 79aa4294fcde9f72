"""Checkpoints on a disk that fills up, and in a machine that is taken back, with a real run beside them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import touchline
from tests.tracking.conftest import start_script
from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.storage import LocalDisk
from touchline.config import Settings
from touchline.tracking.journal import Event, JournalReader

from .conftest import fill


def events(run_directory: Path, *kinds: str) -> list[Event]:
    with JournalReader(run_directory / "journal.db") as journal:
        return journal.of_kind(kinds)


@pytest.mark.parametrize("noticed", ["before it writes", "in the middle of a file"])
def test_a_full_disk_costs_a_save_and_neither_the_run_nor_the_checkpoint_before(
    alone: Settings, checkpoint_disk: Path, noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if noticed == "in the middle of a file":
        monkeypatch.setattr(LocalDisk, "free_bytes", lambda disk: None)
    weights = np.zeros(1_000_000, np.float32)
    with touchline.start_run("train", settings=alone, run_id="r1") as run:
        store = CheckpointStore(checkpoint_disk / "checkpoints", every=1, minimum_seconds=0, run=run)
        filler = checkpoint_disk / "filler"
        for step in (1, 2, 3):
            if step == 2:
                fill(checkpoint_disk)
            elif filler.exists():
                filler.unlink()
            weights += 1
            run.log({"loss": 1.0 / step}, step)
            assert store.maybe_save(step, {"weights": weights})
            store.wait()
            assert store.steps() == ((1,), (1,), (1, 3))[step - 1]
            latest = store.latest()
            assert latest is not None
            assert (latest.arrays["weights"] == latest.step).all()
            assert latest.skipped == ()
    (alert,) = events(run.directory, "alert")
    assert alert.payload["title"] == "Checkpoint not saved"
    assert "step 2 could not be written" in alert.payload["text"]
    assert "Free some space; the training goes on" in alert.payload["text"]
    assert len(events(run.directory, "metrics")) == 3
    assert not list((checkpoint_disk / "checkpoints").glob(".partial-*"))


TRAINING = """
import sys, time, touchline
from pathlib import Path
from touchline.checkpoint import CheckpointStore, StopSignal
import numpy as np

settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=())
store_path = Path(sys.argv[2])
weights = {"w": np.zeros(1000)}
with StopSignal() as stop, touchline.start_run("train", settings=settings, run_id="r1") as run:
    store = CheckpointStore(store_path, run=run, stop=stop)
    for step in range(10**9):
        weights["w"] += 1
        run.log({"loss": 0.5}, step + 1)
        if step == 10:
            print("training", flush=True)
        store.maybe_save(step + 1, weights)
"""


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [(signal.SIGTERM, 143, "preempted"), (signal.SIGINT, 130, "killed")],
    ids=["sigterm", "ctrl-c"],
)
def test_a_machine_that_is_taken_back_leaves_a_checkpoint_and_a_run_that_says_so(
    home: Path, tmp_path: Path, number: int, code: int, status: str
) -> None:
    process = start_script(TRAINING, tmp_path, str(home), str(tmp_path / "checkpoints"))
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    os.kill(process.pid, number)
    assert process.wait(30) == code
    (end,) = events(home / "runs" / "r1", "end")
    assert end.payload["status"] == status
    latest = CheckpointStore(tmp_path / "checkpoints").latest()
    assert latest is not None
    assert (latest.arrays["w"] == latest.step).all()
    assert latest.step == events(home / "runs" / "r1", "metrics")[-1].step
    with CheckpointStore(tmp_path / "checkpoints").files_of(latest) as files:
        settings = Settings(home=home, sinks=(), capture=())
        with touchline.start_run("train", settings=settings, resume=files) as again:
            assert (again.id, again.resumed) == ("r1", True)


def test_a_training_that_is_killed_outright_goes_on_with_its_run(home: Path, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    script = TRAINING.replace("run=run, stop=stop", "run=run, every=1, minimum_seconds=0")
    process = start_script(script, tmp_path, str(home), str(tmp_path / "checkpoints"))
    assert process.stdout is not None
    process.stdout.readline()
    while not store.steps():
        assert process.poll() is None
    process.kill()
    process.wait()
    latest = store.latest()
    assert latest is not None
    assert (latest.arrays["w"] == latest.step).all()
    assert {event.step for event in events(Path(latest.path), "metrics")} >= set(range(1, latest.step + 1))
