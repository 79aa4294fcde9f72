"""One history with random kills of everything and outages between: all tracks end equal to the journal."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.journal import JournalReader
from touchline.tracking.launch import ensure_courier

from .conftest import kill_couriers, trainer

SINKS = ("mlflow", "wandb", "tensorboard")
SECONDS = 40.0


@pytest.mark.slow
def test_random_kills_and_outages_lose_nothing_and_double_nothing(
    home: Path, backend: WandbBackend, tmp_path: Path
) -> None:
    chance = random.Random(7)
    settings = Settings(home=home, sinks=SINKS, wandb_base_url=backend.url)
    process, starts, end = None, 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        if process is None or process.poll() is not None:
            body = f"for step in range({starts}_000_000, 10**9): run.log({{'x': step}}, step); time.sleep(0.002)"
            process = trainer(home, body, tmp_path, sinks=SINKS, wandb_base_url=backend.url)
            starts += 1
        time.sleep(chance.uniform(0.3, 4.0))
        what = chance.random()
        if what < 0.25:
            process.kill()
            process.wait()
        elif what < 0.85:
            kill_couriers(home)
            for sink in SINKS:
                ensure_courier(settings, sink)
        else:
            backend.fail_with = 503
            time.sleep(chance.uniform(0.1, 2.0))
            backend.fail_with = None
    assert process is not None
    process.kill()
    process.wait()
    report = touchline.sync(settings, timeout=120)
    assert report.complete, report.gaps

    with JournalReader(settings.run_directory("r1") / "journal.db") as journal:
        kept = [(event.seq, event.step) for event in journal.of_kind(["metrics"])]
    far = backend.runs["r1"]
    assert [(row["_step"], row["global_step"]) for row in far.history] == kept
    assert far.summary["touchline/status"] == "killed"
    with sqlite3.connect(home / "mlflow.db") as connection:
        rows = connection.execute("SELECT step FROM metrics ORDER BY step").fetchall()
        assert connection.execute("SELECT status FROM runs").fetchall() == [("KILLED",)]
    assert [step for (step,) in rows] == [step for _, step in kept]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(settings.run_directory("r1") / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("x")] == [step for _, step in kept]
