"""One history with random kills of everything, rewinds and outages between: every track ends true to the journal."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.journal import JournalReader
from touchline.tracking.launch import ensure_courier
from touchline.tracking.rewind import Timeline

from ..tracking.conftest import *  # noqa: F403
from ..tracking.conftest import kill_couriers, start_script

SINKS = ("mlflow", "wandb", "tensorboard")
KILLS = 50
TRAINER = """
import random, sys, time, touchline
from pathlib import Path
from touchline.tracking.journal import JournalReader

attempt = int(sys.argv[2])
settings = touchline.Settings(home=Path(sys.argv[1]), sinks={sinks!r}, wandb_base_url={url!r})
resume = None
if attempt:
    with JournalReader(settings.run_directory("r1") / "journal.db") as journal:
        # An attempt that was killed before it logged has gone back all the same: what it left behind is gone.
        last = [event for event in (journal.newest("metrics"), journal.newest("rewind")) if event is not None]
        reached = max(last, key=lambda event: event.seq).step if last else 0
        resume = max(0, reached - random.randint(0, 300))
run = touchline.start_run("train", settings=settings, run_id="r1", resume=resume)
for step in range((resume or 0) + 1, 10**9):
    run.log({{"x": attempt * 1e5 + step}}, step)  # which attempt logged it can be read off
    time.sleep(0.002)
"""

Points = dict[int, list[float]]


@pytest.mark.slow
def test_fifty_random_kills_with_rewinds_and_outages_lose_nothing_and_double_nothing(
    home: Path, backend: WandbBackend, tmp_path: Path
) -> None:
    chance = random.Random(7)
    settings = Settings(home=home, sinks=SINKS, wandb_base_url=backend.url)
    script = TRAINER.format(sinks=SINKS, url=backend.url)
    process, attempts, kills, outages = None, 0, Counter[str](), 0
    while kills.total() < KILLS:
        if process is None or process.poll() is not None:
            process = start_script(script, tmp_path, str(home), str(attempts))
            attempts += 1
        time.sleep(chance.uniform(0.3, 4.0))
        what = chance.random()
        if what < 0.3:
            process.kill()
            process.wait()
            kills["trainer"] += 1
        elif what < 0.85:
            kills["courier"] += kill_couriers(home)
            for sink in SINKS:
                ensure_courier(settings, sink)
        else:
            outages += 1
            backend.fail_with = 503
            time.sleep(chance.uniform(0.1, 2.0))
            backend.fail_with = None
    assert process is not None
    process.kill()
    process.wait()
    report = touchline.sync(settings, timeout=200)
    assert report.complete, report.gaps
    assert min(kills["trainer"], kills["courier"], outages) > 2

    with JournalReader(settings.run_directory("r1") / "journal.db") as journal:
        timeline = Timeline.of(journal.of_kind(["rewind"]))
        logged = journal.of_kind(["metrics"])
    every = {(event.step, event.metrics["x"]) for event in logged}
    newest = {event.step: event.metrics["x"] for event in logged if timeline.is_current(event)}
    assert sorted(newest) == list(range(1, max(newest) + 1)), "the newest attempt has no gap"

    for track, points in (("mlflow", mlflow_points(home)), ("wandb", wandb_points(backend))):
        doubled = {step: values for step, values in points.items() if len(values) > 1}
        assert not doubled, f"{track} was told twice"
        assert newest.keys() <= points.keys(), f"{track} lost points"
        assert {(step, values[0]) for step, values in points.items()} <= every, f"{track} has what was never logged"
    assert tensorboard_points(settings) == {step: [float(np.float32(value))] for step, value in newest.items()}

    far = backend.runs["r1"]
    assert far.summary["touchline/status"] == "killed"
    assert far.exit_code == 137
    with sqlite3.connect(home / "mlflow.db") as connection:
        assert connection.execute("SELECT status FROM runs").fetchall() == [("KILLED",)]


def mlflow_points(home: Path) -> Points:
    points: Points = {}
    with sqlite3.connect(home / "mlflow.db") as connection:
        for step, value in connection.execute("SELECT step, value FROM metrics WHERE key = 'x'"):
            points.setdefault(step, []).append(value)
    return points


def wandb_points(backend: WandbBackend) -> Points:
    points: Points = {}
    for row in backend.runs["r1"].history:
        if "x" in row:
            points.setdefault(row["global_step"], []).append(row["x"])
    return points


def tensorboard_points(settings: Settings) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(settings.run_directory("r1") / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    points: Points = {}
    for event in events.Scalars("x"):
        points.setdefault(event.step, []).append(event.value)
    return points
