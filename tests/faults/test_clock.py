"""A clock that is set back by an hour disturbs no order, no delivery and no cadence."""

from __future__ import annotations

import itertools
import sqlite3
import time
from pathlib import Path

import pytest

import touchline
from tests.tracking.conftest import trainer
from touchline.config import Settings
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.journal import Event, JournalReader
from touchline.tracking.thinning import Thinning

SETS_BACK = """
true_time = time.time
for step in range(2_000):
    if step == 1_000:
        time.time = lambda: true_time() - 3_600.0
    run.log({'x': step}, step)
    if step % 500 == 0:
        run.alert(f'alert {step}')
delivery = run.finish(timeout=300)
assert delivery.complete, delivery.sentences()
"""


@pytest.mark.slow
def test_every_point_arrives_once_although_the_clock_went_back(
    home: Path, backend: WandbBackend, tmp_path: Path
) -> None:
    sinks = ("mlflow", "wandb", "tensorboard")
    process = trainer(home, SETS_BACK, tmp_path, sinks=sinks, wandb_base_url=backend.url, capture=())
    assert process.wait(120) == 0
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        times = [event.time for event in journal.all()]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) < -3_000
    with sqlite3.connect(home / "mlflow.db") as connection:
        rows = connection.execute("SELECT step, value FROM metrics ORDER BY step").fetchall()
        status = connection.execute("SELECT status FROM runs").fetchall()
        latest = connection.execute("SELECT value FROM latest_metrics").fetchall()
    assert rows == [(step, float(step)) for step in range(2_000)]
    assert (status, latest) == ([("FINISHED",)], [(1_999.0,)])
    assert [row["global_step"] for row in backend.runs["r1"].history if "x" in row] == list(range(2_000))


def test_a_run_whose_far_side_is_down_ends_in_time_although_the_clock_went_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home, sinks=("mlflow",), mlflow_tracking_uri="http://127.0.0.1:9", capture=())
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1.0}, 1)
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() - 3_600.0)
    began = time.monotonic()
    delivery = run.finish(timeout=20.0)
    assert time.monotonic() - began < 25.0
    assert delivery["mlflow"].state == "waiting"


def test_cadences_do_not_look_at_the_clock_of_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    cadence, wall = touchline.Cadence(10, minimum_seconds=0.0), touchline.WallClockCadence(0.01)
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() - 3_600.0)
    time.sleep(0.02)
    assert wall.due()
    assert [cadence.due(step) for step in (5, 10, 11, 25)] == [False, True, False, True]


def test_thinning_does_not_hide_the_points_until_a_clock_has_caught_up() -> None:
    thinning = Thinning(1.0)
    moments = [1_000.0, 1_000.5, 1_001.0, 100.0, 100.5, 101.0]
    events = [Event(seq, "metrics", seq, moment, {"x": 1.0}) for seq, moment in enumerate(moments)]
    kept = [event.time for event in thinning.apply(events) if event.payload]
    assert kept == [1_000.0, 1_001.0, 100.0, 101.0]
