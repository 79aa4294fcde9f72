"""Native offline runs, and what the real ``wandb sync`` makes of them at the loopback backend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import API_KEY, WandbBackend, wandb_backend
from touchline.tracking.delivery import read_cursor, read_delivery
from touchline.tracking.journal import JournalReader
from touchline.tracking.launch import ensure_courier
from touchline.tracking.sinks.wandb_offline import offline_directories
from touchline.tracking.sync import sync

from .conftest import kill_couriers, trainer, until


@pytest.fixture
def settings(home: Path) -> Settings:
    """Neither a key nor a server is there."""
    return Settings(home=home, sinks=("wandb",), wandb_mode="offline", capture=())


def wandb_sync(directory: Path, backend: WandbBackend) -> None:
    """Run the command a person runs."""
    environment = {**os.environ, "WANDB_API_KEY": API_KEY, "WANDB_BASE_URL": backend.url}
    command = [Path(sys.executable).with_name("wandb"), "sync", directory]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300, cwd=directory.parent)


def points(backend: WandbBackend, run_id: str) -> list[tuple[int, float]]:
    """(global_step, x) of the history, in the order of arrival."""
    return [(row["global_step"], row["x"]) for row in backend.runs[run_id].history if "x" in row]


def test_an_offline_run_is_taken_whole_by_wandb_sync(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights.bin").write_bytes(b"weights")
    run = touchline.start_run("train", name="first", group="g", config={"rate": 0.1}, settings=settings)
    run.define_metric("x", "maximize")
    for step in range(300):
        run.log({"x": step / 2, "y": -step}, step)
    run.log_table("games", ["goals"], [[3]], step=300)
    run.log_milestone(tmp_path / "policy", name="player", version=1, aliases=["Champion"], digest="sha256:2")
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    (directory,) = offline_directories(run.directory, run.id)
    assert delivery["wandb"].url == str(directory)
    with wandb_backend() as backend:
        wandb_sync(directory, backend)
        far = backend.runs[run.id]
        with JournalReader(run.directory / "journal.db") as journal:
            logged = [(event.seq, event.step, event.metrics) for event in journal.of_kind(["metrics"])]
        rows = [row for row in far.history if "x" in row]
        assert [(row["_step"], row["global_step"], {"x": row["x"], "y": row["y"]}) for row in rows] == logged
        assert (far.display_name, far.group, far.config["rate"]["value"]) == ("first", "g", 0.1)
        assert (far.summary["best/x"], far.summary["touchline/status"]) == (149.5, "finished")
        model = next(artifact for artifact in far.artifacts if artifact["type"] == "model")
        assert model["files"]["weights.bin"] == b"weights"
        assert (far.exit_code, far.complete) == (0, True)


def test_an_offline_run_is_whole_although_courier_and_trainer_are_killed(settings: Settings, tmp_path: Path) -> None:
    body = """
    for step in range(100_000):
        run.log({"x": step}, step)
        time.sleep(0.002)
    """
    process = trainer(settings.home, body, tmp_path, sinks=("wandb",), wandb_mode="offline", capture=())
    directory = settings.run_directory("r1")
    for delivered in (200, 600):
        until(lambda wanted=delivered: read_cursor(directory, "wandb").delivered > wanted)
        assert kill_couriers(settings.home)
        ensure_courier(settings, "wandb")
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: read_delivery(directory, ["wandb"]).complete)
    with JournalReader(directory / "journal.db") as journal:
        count = len(journal.of_kind(["metrics"]))
    (native,) = offline_directories(directory, "r1")
    with wandb_backend() as backend:
        wandb_sync(native, backend)
        assert points(backend, "r1") == [(step, step) for step in range(count)]
        assert backend.runs["r1"].exit_code == 137


def test_a_rewind_leaves_only_the_newest_attempt_in_an_offline_run(settings: Settings) -> None:
    with touchline.start_run("train", settings=settings, run_id="r1") as run:
        for step in range(10):
            run.log({"x": step}, step)
        assert run.wait_delivered("wandb", 300)
        run._writer.put("rewind", {"restored": False, "from": 9}, 4)  # one that comes while the file is open
        run._writer._steps.__init__()
        for step in range(5, 8):
            run.log({"x": 100 + step}, step)
    with touchline.start_run("train", settings=settings, run_id="r1", resume=6) as run:
        run.log({"x": 207}, 7)
    assert run.delivery().complete
    (native,) = offline_directories(run.directory, "r1")
    with wandb_backend() as backend:
        wandb_sync(native, backend)
        assert points(backend, "r1") == [*((step, step) for step in range(5)), (5, 105), (6, 106), (7, 207)]
        assert backend.runs["r1"].config["touchline.rewinds"]["value"] == [4, 6]
        (mark,) = native.glob("*.synced")
        wandb_sync(native, backend)
        assert len(points(backend, "r1")) == 8, mark


def test_a_run_begun_offline_is_not_sent_online_and_the_sentence_names_wandb_sync(
    settings: Settings, backend: WandbBackend
) -> None:
    with touchline.start_run("train", settings=settings, run_id="r1") as run:
        run.log({"x": 1}, 1)
    online = Settings(home=settings.home, sinks=("wandb",), wandb_base_url=backend.url, capture=())
    report = sync(online, timeout=300)
    assert report.exit_code == 1
    (native,) = offline_directories(run.directory, "r1")
    (gap,) = report.gaps
    assert f"wandb sync {native}" in gap
    assert "r1" not in backend.runs
    assert sync(settings, timeout=300).exit_code == 0


def test_a_run_begun_online_is_not_written_offline_and_the_sentence_names_the_mode(
    settings: Settings, backend: WandbBackend
) -> None:
    online = Settings(home=settings.home, sinks=("wandb",), wandb_base_url=backend.url, capture=())
    with touchline.start_run("train", settings=online, run_id="r1") as run:
        run.log({"x": 1}, 1)
    report = sync(settings, timeout=300)
    assert report.exit_code == 1
    (gap,) = report.gaps
    assert "WANDB_MODE=online" in gap
    assert not offline_directories(run.directory, "r1")
    assert sync(online, timeout=300).exit_code == 0


@pytest.mark.parametrize("first", ["offline", "online"])
def test_a_run_that_goes_on_in_the_other_mode_keeps_its_first_route(
    first: str, home: Path, backend: WandbBackend, caplog: pytest.LogCaptureFixture
) -> None:
    second = {"offline": "online", "online": "offline"}[first]

    def settings_for(mode: str) -> Settings:
        return Settings(home=home, sinks=("wandb",), wandb_base_url=backend.url, wandb_mode=mode, capture=())

    with touchline.start_run("train", settings=settings_for(first), run_id="r1") as run:
        run.log({"x": 1}, 1)
    with touchline.start_run("train", settings=settings_for(second), run_id="r1") as run:
        run.log({"x": 2}, 2)
    assert f"WANDB_MODE={first}" in caplog.text
    assert sync(settings_for(second), timeout=300).exit_code == 1
    assert sync(settings_for(first), timeout=300).exit_code == 0
    if first == "offline":
        assert "r1" not in backend.runs
        wandb_sync(offline_directories(run.directory, "r1")[0], backend)
    else:
        assert not offline_directories(run.directory, "r1")
    assert points(backend, "r1") == [(1, 1), (2, 2)]
