"""What W&B has, with the real SDK against the loopback backend."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import BackendRun, WandbBackend
from touchline.tracking.delivery import read_delivery
from touchline.tracking.journal import JournalReader
from touchline.tracking.launch import ensure_courier
from touchline.tracking.sync import sync

from .conftest import kill_couriers, trainer, until


@pytest.fixture
def settings(home: Path, backend: WandbBackend) -> Settings:
    return Settings(home=home, sinks=("wandb",), wandb_base_url=backend.url, capture=())


def points(run: BackendRun, name: str) -> list[tuple[int, float]]:
    """(global_step, value) of a metric, in the order of the history."""
    return [(row["global_step"], row[name]) for row in run.history if name in row]


def test_a_run_arrives_whole(settings: Settings, backend: WandbBackend, tmp_path: Path) -> None:
    video = touchline.encode_video(np.zeros((5, 32, 32, 3), np.uint8), tmp_path / "v.mp4", 10)
    run = touchline.start_run("train", name="first", config={"rate": 0.1}, tags={"team": "red"}, settings=settings)
    for step in (10, 20, 15):
        run.log({"loss": step / 10}, step)
    run.log({"none": math.nan, "high": math.inf}, 30)
    run.log_video(video, "eval", caption="goal")
    video.unlink()
    run.alert("hot", "too hot", level="error")
    run.log_decision("refused", model="m", alias="Champion", version=4, previous=3, reason="It falls.")
    run.log_artifact(Path(__file__), "code/test.py")
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert run.id in delivery["wandb"].url

    far = backend.runs[run.id]
    assert (far.project, far.display_name, far.job_type) == ("booster-soccer", "first", "train")
    assert points(far, "loss") == [(10, 1.0), (20, 2.0), (15, 1.5)]
    assert [row["_step"] for row in far.history] == sorted({row["_step"] for row in far.history})
    assert math.isnan(points(far, "none")[0][1])
    assert points(far, "high") == [(30, math.inf)]
    assert (far.config["rate"]["value"], far.tags) == (0.1, ["team=red"])
    refused = "m version 4 refused as @Champion (which stays version 3)"
    assert far.alerts == [
        {"title": "hot", "text": "too hot", "severity": "ERROR"},
        {"title": refused, "text": "It falls.", "severity": "WARN"},
    ]
    video_row = next(row["eval"] for row in far.history if "eval" in row)
    assert (video_row["caption"], video_row["path"] in far.files) == ("goal", True)
    assert [next(iter(artifact["files"])) for artifact in far.artifacts] == ["test.py"]
    assert (far.summary["loss"], far.summary["touchline/status"]) == (1.5, "finished")
    assert (far.exit_code, far.complete) == (0, True)


def test_a_project_that_is_a_path_has_a_name_that_wandb_takes(settings: Settings, backend: WandbBackend) -> None:
    with touchline.start_run("train", settings=replace(settings, project="/Users/me/walk #2")) as run:
        run.log({"loss": 1.0}, 1)
    assert run.wait_delivered("wandb", timeout=300)
    assert backend.runs[run.id].project == "Users-me-walk -2"


def test_names_of_its_own_are_set_aside_and_take_nothing_along(settings: Settings, backend: WandbBackend) -> None:
    run = touchline.start_run("train", settings=settings)
    own = {"_step": 1.0, "_timestamp": 2.0, "_runtime": 3.0, "_wandb": 4.0, "": 5.0}
    for step in range(3):
        run.log({"x": step, "global_step": step, **own}, step)
    run.log({"x": 3, "global_step": 77}, 3)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert points(backend.runs[run.id], "x") == [(step, step) for step in range(4)]
    first, second = delivery["wandb"].set_aside
    assert "the name '', '_runtime', '_step', '_timestamp', '_wandb' for itself" in first.reason
    assert "the name 'global_step' for itself" in second.reason


def test_what_was_kept_without_a_key_is_delivered_by_a_later_sync(
    settings: Settings, backend: WandbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without_key:
        without_key.delenv("WANDB_API_KEY")
        with touchline.start_run("train", settings=settings) as run:
            for step in range(50):
                run.log({"x": step}, step)
        assert run.delivery()["wandb"].state == "waiting"
        report = sync(settings, timeout=300)
        assert report.exit_code == 1
        assert "WANDB_API_KEY" in report.gaps[0]
    assert not backend.runs
    report = sync(settings, timeout=300)
    assert report.exit_code == 0, report.gaps
    assert points(backend.runs[run.id], "x") == [(step, step) for step in range(50)]
    assert sync(settings, timeout=300).exit_code == 0
    assert len(backend.runs[run.id].history) == 50


def test_points_arrive_once_although_courier_and_trainer_are_killed(
    settings: Settings, backend: WandbBackend, tmp_path: Path
) -> None:
    body = """
    for step in range(100_000):
        run.log({"x": step}, step)
        time.sleep(0.002)
    """
    process = trainer(settings.home, body, tmp_path, sinks=("wandb",), wandb_base_url=backend.url)
    far = backend.run("r1")
    for _ in range(2):
        seen = len(far.history_lines)
        until(lambda before=seen: len(far.history_lines) > before)
        assert kill_couriers(settings.home)
        ensure_courier(settings, "wandb")
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: far.summary.get("touchline/status") == "killed" and far.complete)
    until(lambda: read_delivery(settings.run_directory("r1"), ["wandb"]).complete)
    with JournalReader(settings.run_directory("r1") / "journal.db") as journal:
        count = len(journal.of_kind(["metrics"]))
    assert points(far, "x") == [(step, step) for step in range(count)]
    assert far.exit_code == 137
    assert len(far.alerts) == 1


def test_an_outage_in_the_middle_is_caught_up(settings: Settings, backend: WandbBackend) -> None:
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 0}, 0)
    assert run.wait_delivered("wandb", 300)
    backend.fail_with = 503
    for step in range(1, 200):
        run.log({"x": step}, step)
    assert not run.wait_delivered("wandb", 3)
    backend.fail_with = None
    assert run.finish(timeout=300).complete
    assert points(backend.runs[run.id], "x") == [(step, step) for step in range(200)]


def test_a_server_that_came_back_is_used_at_the_end(settings: Settings, backend: WandbBackend) -> None:
    backend.fail_with = 503
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1}, 1)
    until(lambda: run.delivery()["wandb"].state == "waiting")
    assert "HTTP 503" in run.delivery()["wandb"].reason
    backend.fail_with = None
    assert run.finish().complete
    assert points(backend.runs[run.id], "x") == [(1, 1)]


def test_a_run_that_could_not_be_opened_is_opened_by_a_fresh_courier(
    settings: Settings, backend: WandbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.fail_operations = {"UpsertBucket": 400}
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1}, 1)
    until(lambda: "did not open the run" in run.delivery()["wandb"].reason)
    backend.fail_operations = {}
    assert run.wait_delivered("wandb", 300)
    assert run.finish().complete
    assert points(backend.runs[run.id], "x") == [(1, 1)]


@pytest.mark.parametrize(
    ("key", "status", "expected"),
    [("f" * 40, None, "refuses the W&B key"), (None, None, "no W&B key"), ("f" * 40, 502, "HTTP 502")],
)
def test_each_way_of_not_reaching_it_has_its_own_sentence(
    key: str | None,
    status: int | None,
    expected: str,
    settings: Settings,
    backend: WandbBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from touchline.tracking.probe import probe_wandb

    monkeypatch.delenv("WANDB_API_KEY")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    backend.fail_with = status
    probe = probe_wandb(settings)
    assert not probe.usable
    assert expected in probe.reason
    assert not key or key not in probe.reason
