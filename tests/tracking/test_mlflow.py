"""What MLflow has, read back from a real store."""

from __future__ import annotations

import math
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.delivery import read_cursor
from touchline.tracking.journal import JournalReader
from touchline.tracking.mlflow_store import connect
from touchline.tracking.sync import sync

from .conftest import couriers_of, kill_couriers, trainer, until

MODEL = """
import mlflow, numpy

class Policy(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        import json, pathlib
        self.gain = json.loads((pathlib.Path(context.artifacts["policy"]) / "gain.json").read_text())

    def predict(self, context, model_input, params=None):
        return numpy.asarray(model_input, dtype=numpy.float32)[:, :2] * self.gain

mlflow.models.set_model(Policy())
"""


def test_a_run_arrives_whole(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "gain.json").write_text("3.0")
    (tmp_path / "policy.py").write_text(MODEL)
    (tmp_path / "note.txt").write_text("hello")
    run = touchline.start_run("train", name="first", config={"rate": 0.1, "long": "x" * 7_000}, settings=settings)
    run.set_tags({"team": "red"})
    run.log({"loss": math.nan, "high": math.inf, "bad@name": 1.0, "good": 2.0}, 5)
    run.log({"good": 3.0}, 6)
    run.alert("hot", "too hot")
    run.log_artifact(tmp_path / "note.txt", "notes/n.txt")
    run.log_model(
        tmp_path / "weights",
        code=tmp_path / "policy.py",
        signature={"inputs": (-1, 4), "outputs": (-1, 2)},
        metadata={"digest": "abc"},
    )
    run.log_input("models:/m-0123", "actor")
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()

    client = connect(settings)
    assert run.mlflow_run_id is not None
    found = client.get_run(run.mlflow_run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "first")
    assert found.data.params["rate"] == "0.1"
    assert len(found.data.params["long"]) == 6_000
    tags = found.data.tags
    assert (tags["team"], tags["touchline.run_id"], tags["touchline.status"]) == ("red", run.id, "finished")
    assert (tags["touchline.infinite"], tags["touchline.input.actor"]) == ("high", "models:/m-0123")
    assert "warn: hot. too hot" in tags.values()

    with JournalReader(run.directory / "journal.db") as journal:
        times = [int(event.time * 1000) for event in journal.of_kind(["metrics"])]
    history = client.get_metric_history(run.mlflow_run_id, "good")
    assert [(m.step, m.value, m.timestamp) for m in history] == [(5, 2.0, times[0]), (6, 3.0, times[1])]
    assert math.isnan(client.get_metric_history(run.mlflow_run_id, "loss")[0].value)
    assert [one for one in delivery["mlflow"].set_aside if "bad@name" in one.reason]

    notes = client.list_artifacts(run.mlflow_run_id, "notes")
    assert [item.path for item in notes] == ["notes/n.txt"]
    assert str(settings.home) in found.info.artifact_uri

    import mlflow

    mlflow.set_tracking_uri(settings.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{tags['touchline.model.model']}")
    assert model.metadata.metadata == {"digest": "abc"}
    assert model.metadata.run_id == run.mlflow_run_id
    np.testing.assert_array_equal(model.predict(np.ones((5, 4), np.float32)), np.full((5, 2), 3.0))


def test_a_model_whose_script_fails_is_set_aside_and_blocks_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "policy.py").write_text("raise RuntimeError('this policy cannot be built')")
    run = touchline.start_run("train", settings=settings)
    run.log_model(tmp_path / "weights", code=tmp_path / "policy.py")
    run.log_input("models:/m-00000000000000000000000000000000", "actor")
    run.log({"x": 1.0}, 1)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert "cannot be built" in delivery["mlflow"].set_aside[0][1]
    assert metric_rows(settings, "x") == [(1, 1.0)]


def metric_rows(settings: Settings, name: str) -> list[tuple[int, float]]:
    with sqlite3.connect(f"file:{settings.home / 'mlflow.db'}?mode=ro", uri=True) as connection:
        query = "SELECT step, value FROM metrics WHERE key = ? ORDER BY step"
        return connection.execute(query, (name,)).fetchall()


def test_a_killed_trainer_loses_no_committed_point_and_ends_as_killed(settings: Settings, tmp_path: Path) -> None:
    body = """
    step = 0
    while True:
        run.log({"x": step}, step)
        if step == 200:
            time.sleep(0.2)  # four commit intervals: these points are committed
            print("committed", flush=True)
        step += 1
        time.sleep(0.001)
    """
    process = trainer(settings.home, body, tmp_path, sinks=("mlflow",))
    assert process.stdout is not None
    assert process.stdout.readline() == "committed\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: read_cursor(settings.run_directory("r1"), "mlflow").closed)
    with JournalReader(settings.run_directory("r1") / "journal.db") as journal:
        kept = [(event.step, event.metrics["x"]) for event in journal.of_kind(["metrics"])]
    assert len(kept) > 200
    assert metric_rows(settings, "x") == kept
    far = connect(settings).search_runs(["1"])[0]
    tags = far.data.tags
    assert (far.info.status, tags["touchline.status"]) == ("KILLED", "killed")
    assert "killed" in tags["touchline.alert"]
    assert "cause unknown" in tags["touchline.reason"]
    until(lambda: not couriers_of(settings.home))


def test_points_arrive_once_although_the_courier_is_killed_again_and_again(settings: Settings) -> None:
    run = touchline.start_run("train", settings=settings)
    kills, sent = 0, 0
    while kills < 2:
        for _ in range(1_500):
            run.log({"x": sent, "y": -sent}, sent)
            sent += 1
        delivered = run.delivery()["mlflow"].delivered
        run._start_couriers(run.settings.sinks)
        until(lambda before=delivered: run.delivery()["mlflow"].delivered > before)
        kills += kill_couriers(settings.home)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert metric_rows(settings, "x") == [(step, float(step)) for step in range(sent)]
    assert metric_rows(settings, "y") == [(step, float(-step)) for step in range(sent)]


def test_a_corrupt_store_is_told_with_a_remedy_and_refilled_later(settings: Settings) -> None:
    store = settings.home / "mlflow.db"
    store.write_bytes(b"this is not a database" * 500)
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1.0}, 1)
    delivery = run.finish()
    assert delivery["mlflow"].state == "waiting"
    assert f"mv {store}" in delivery["mlflow"].reason
    store.unlink()
    report = sync(settings, timeout=300)
    assert report.complete, report.gaps
    assert metric_rows(settings, "x") == [(1, 1.0)]


@pytest.mark.slow
def test_a_store_that_was_lost_is_refilled_from_the_journal(settings: Settings) -> None:
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1.0}, 1)
    assert run.wait_delivered("mlflow", 300)
    kill_couriers(settings.home)
    for file in settings.home.glob("mlflow.db*"):
        file.unlink()
    run.log({"x": 2.0}, 2)
    assert run.finish(timeout=300).complete
    assert metric_rows(settings, "x") == [(1, 1.0), (2, 2.0)]


@pytest.mark.slow
def test_a_deleted_run_is_not_made_again(settings: Settings) -> None:
    with touchline.start_run("train", settings=settings, run_id="r1") as run:
        run.log({"x": 1.0}, 1)
    assert run.mlflow_run_id is not None
    kill_couriers(settings.home)
    connect(settings).delete_run(run.mlflow_run_id)
    with touchline.start_run("train", settings=settings, run_id="r1") as run:
        run.log({"x": 2.0}, 2)
    assert run.delivery()["mlflow"].state == "refused"
    assert "mlflow runs restore" in run.delivery()["mlflow"].reason


@pytest.mark.slow
def test_two_fresh_stores_opened_at_once_do_not_collide(settings: Settings, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from touchline.config import Settings; "
        "from touchline.tracking.mlflow_store import connect; connect(Settings(home=Path(sys.argv[1])))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(settings.home)]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]


def test_each_name_that_mlflow_refuses_is_told_once_with_its_number_and_takes_nothing_along(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run = touchline.start_run("train", settings=settings)
    bad = ("acc@1", "acc@5", "b/", "[red]")
    for step in range(3_000):
        run.log({"ok": step, **dict.fromkeys(bad, step)}, step)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    told = {refusal.reason.partition(": ")[0]: refusal.events for refusal in delivery["mlflow"].set_aside}
    assert told == dict.fromkeys(bad, 3_000)
    (sentence,) = [record.getMessage() for record in caplog.records if "set aside" in record.getMessage()]
    assert "acc@5: Names may only contain" in sentence
    assert "supplied" not in sentence
    assert run.mlflow_run_id is not None
    assert len(connect(settings).get_metric_history(run.mlflow_run_id, "ok")) == 3_000
