"""Exactness at W&B although its answers lag behind, its stream fails, and couriers and machines die."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

import touchline
from touchline import Run
from touchline.config import Settings
from touchline.testing.wandb_backend import BackendRun, WandbBackend, silent_port
from touchline.tracking.delivery import read_cursor
from touchline.tracking.launch import ensure_courier
from touchline.tracking.sinks.wandb_server import SETTLE_SECONDS
from touchline.tracking.sync import sync

from .conftest import couriers_of, kill_couriers, until


@pytest.fixture
def settings(home: Path, backend: WandbBackend) -> Settings:
    return Settings(home=home, sinks=("wandb",), wandb_base_url=backend.url, capture=())


def thirty_delivered(settings: Settings) -> Run:
    """A run that goes on, 30 rows of which W&B has, and whose courier was killed then."""
    run = touchline.start_run("train", settings=settings)
    for step in range(30):
        run.log({"x": step}, step)
    assert run.wait_delivered("wandb", 300)
    assert kill_couriers(settings.home)
    return run


def assert_exact(run: BackendRun, expected: dict[str, list[int]]) -> None:
    """Each metric has a value at each of its steps exactly once, and W&B's own step only grows."""
    for name, steps in expected.items():
        assert sorted(row["global_step"] for row in run.history if name in row) == steps, name
    order = [row["_step"] for row in run.history]
    assert order == sorted(set(order))


def test_a_run_goes_on_at_another_machine_where_the_lost_one_had_delivered_more_than_the_checkpoint(
    backend: WandbBackend, tmp_path: Path
) -> None:
    def settings_of(machine: str) -> Settings:
        return Settings(home=tmp_path / machine, sinks=("wandb",), wandb_base_url=backend.url, capture=())

    first = settings_of("first")
    run = touchline.start_run("train", settings=first, run_id="r1", config={"rate": 0.5}, tags={"team": "red"})
    for step in range(50):
        run.log({"x": step}, step)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    run.save_journal(checkpoint)
    for step in range(50, 80):
        run.log({"x": step}, step)
    assert run.wait_delivered("wandb", 300)
    kill_couriers(first.home)
    run._end("killed", "lost", 5)
    kill_couriers(first.home)
    shutil.rmtree(first.home)

    second = settings_of("second")
    run = touchline.start_run("train", settings=second, resume=checkpoint)
    assert run.id == "r1"
    for step in range(50, 100):
        run.log({"x": 1_000 + step, "late": step}, step)
    delivery = run.finish(timeout=300)
    for process in couriers_of(second.home):
        process.kill()
    assert delivery.complete, delivery.sentences()
    assert list(backend.runs) == ["r1"]
    far = backend.runs["r1"]
    assert_exact(far, {"x": list(range(100))})
    assert [row["x"] for row in far.history if "x" in row] == [*range(80), *range(1_080, 1_100)]
    assert (far.config["rate"]["value"], far.tags) == (0.5, ["team=red"])
    assert far.config["touchline.rewinds"]["value"] == [49]


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_couriers_are_killed_while_the_answers_lag_behind(
    settings: Settings, backend: WandbBackend
) -> None:
    backend.stale_seconds = 4.0
    run = touchline.start_run("train", settings=settings)
    far = backend.run(run.id)
    step = 0
    for _ in range(3):
        seen, deadline = len(far.history_lines), time.monotonic() + 300
        while len(far.history_lines) <= seen + 40:  # more than the answers may lack
            assert time.monotonic() < deadline, read_cursor(run.directory, "wandb").reason
            run.log({"x": step, "y": -step}, step)
            step += 1
            time.sleep(0.01)  # a loop's own pace
            run._keep_couriers(run.settings.sinks)
        assert kill_couriers(settings.home)
        ensure_courier(settings, "wandb")
    run.finish(timeout=300)
    report = sync(settings, timeout=300)
    assert report.complete, report.gaps
    assert_exact(far, {"x": list(range(step)), "y": list(range(step))})


def test_a_history_older_than_its_summary_is_waited_for_where_nothing_else_tells_how_far_it_is(
    settings: Settings, backend: WandbBackend
) -> None:
    run = thirty_delivered(settings)
    far = backend.runs[run.id]
    far.summary["_step"] -= 1  # the kill came between the last row and its summary
    backend.stale_rows = 10
    shutil.rmtree(run.directory / "delivery")
    run.log({"x": 30}, 30)
    asked = backend.operations.count("RunResumeStatus")
    ensure_courier(settings, "wandb")
    deadline = time.monotonic() + SETTLE_SECONDS + 3
    until(lambda: backend.operations.count("RunResumeStatus") > asked and time.monotonic() > deadline, 60)
    backend.stale_rows = 0
    assert run.finish(timeout=300).complete
    assert_exact(far, {"x": list(range(31))})


def test_a_tail_older_than_what_was_confirmed_is_waited_for_and_not_written_over(
    settings: Settings, backend: WandbBackend
) -> None:
    run = thirty_delivered(settings)
    backend.stale_rows = 10
    run.log({"x": 30}, 30)
    ensure_courier(settings, "wandb")
    until(lambda: "although it had row" in read_cursor(run.directory, "wandb").reason, 60)
    assert len(backend.runs[run.id].history_lines) == 30
    backend.stale_rows = 0
    assert run.finish(timeout=300).complete
    assert_exact(backend.runs[run.id], {"x": list(range(31))})


@pytest.mark.slow
@pytest.mark.parametrize("status", [404, 500])
def test_a_stream_that_is_refused_is_opened_again_and_nothing_is_missing(
    status: int, settings: Settings, backend: WandbBackend
) -> None:
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 0}, 0)
    assert run.wait_delivered("wandb", 300)
    backend.fail_stream = status
    for step in range(1, 50):
        run.log({"x": step}, step)
    assert not run.wait_delivered("wandb", 5)
    backend.fail_stream = None
    for step in range(50, 60):
        run.log({"x": step}, step)
    run.finish(timeout=30)
    report = sync(settings, timeout=300)
    assert report.complete, report.gaps
    assert_exact(backend.runs[run.id], {"x": list(range(60))})


def test_slow_answers_only_take_longer(settings: Settings, backend: WandbBackend) -> None:
    backend.delay_seconds = 1.0
    with touchline.start_run("train", settings=settings) as run:
        for step in range(20):
            run.log({"x": step}, step)
        delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert_exact(backend.runs[run.id], {"x": list(range(20))})


def test_a_server_that_stops_answering_holds_up_neither_the_end_nor_another_servers_runs(
    settings: Settings, backend: WandbBackend
) -> None:
    with silent_port() as silent:
        blocked = Settings(home=settings.home, sinks=("wandb",), wandb_base_url=silent, capture=())
        stuck = touchline.start_run("train", settings=blocked)
        stuck.log({"x": 0}, 0)
        run = touchline.start_run("train", settings=settings)
        run.log({"x": 0}, 0)
        assert run.finish(timeout=300).complete
        delivery = stuck.finish(timeout=20)
        assert "does not answer within" in delivery["wandb"].reason
    assert_exact(backend.runs[run.id], {"x": [0]})
    assert stuck.id not in backend.runs


@pytest.mark.slow
def test_an_sdk_that_hangs_at_the_end_of_one_run_is_let_go_and_the_other_runs_arrive(
    settings: Settings, backend: WandbBackend
) -> None:
    stuck = touchline.start_run("train", settings=settings)
    other = touchline.start_run("train", settings=settings)
    for run in (stuck, other):
        run.log({"x": 0}, 0)
        assert run.wait_delivered("wandb", 300)
    backend.hang_stream.add(stuck.id)
    stuck.log({"x": 1}, 1)
    stuck.finish(timeout=0)
    other.log({"x": 1}, 1)
    assert other.finish(timeout=300).complete
    assert_exact(backend.runs[other.id], {"x": [0, 1]})
    until(lambda: "in time" in read_cursor(stuck.directory, "wandb").reason, 60)
    backend.hang_stream.clear()
    report = sync(settings, timeout=300)
    assert report.complete, report.gaps
    assert_exact(backend.runs[stuck.id], {"x": [0, 1]})
