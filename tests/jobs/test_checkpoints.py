"""A job that was cut off goes on in its own run: same id, one value a step, the end of an unbroken one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.toys import COUNT, TOYS, CountConfig, CountPipeline
from touchline import __version__
from touchline.catalog.lineage import RESUMED_TAG
from touchline.checkpoint import CheckpointStore, Refused, StopSignal
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs import history
from touchline.jobs.base import Interrupted, stopping_with
from touchline.jobs.checkpoints import Resume, training_config
from touchline.jobs.execute import JobOutcome, execute
from touchline.jobs.history import RECIPE
from touchline.jobs.pipeline import run_pipeline
from touchline.jobs.recording import RecordingConfig
from touchline.testing.wandb_backend import API_KEY, wandb_backend
from touchline.tracking.delivery import read_cursor
from touchline.tracking.mlflow_store import connect
from touchline.tracking.status import read_status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.load(home=tmp_path / "home", sinks=("mlflow",))
    settings.ensure_home()
    return settings


def counted(settings: Settings, config: CountConfig | None = None, resume: Resume | None = None) -> JobOutcome:
    return execute(COUNT, config or CountConfig(), settings, {RECIPE: "toy"}, resume or Resume())


def cut_off(settings: Settings, config: CountConfig | None = None) -> str:
    """Count until somebody asks to stop, once there is a checkpoint; returns the run's id."""
    before = set(checkpoints_of(settings))
    with StopSignal() as stop, stopping_with(stop), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNT_SECONDS", "0.01")

        def ask() -> None:
            try:
                until(lambda: set(checkpoints_of(settings)) - before)
            finally:
                stop.request("interrupted")

        asker = threading.Thread(target=ask)
        asker.start()
        with pytest.raises(Interrupted):
            counted(settings, config)
        asker.join()
    return newest_run(settings)


def checkpoints_of(settings: Settings) -> list[Path]:
    place = settings.runs if settings.checkpoints is None else Path(settings.checkpoints.removeprefix("file://"))
    return list(place.glob("**/step-*/manifest.json"))


def newest_run(settings: Settings) -> str:
    return max(path.name for path in settings.runs.iterdir())


def sums(settings: Settings, run_id: str) -> list[tuple[int, float]]:
    """What MLflow has of the curve, in the order in which it was told."""
    history = connect(settings).get_metric_history(in_mlflow(settings, run_id).info.run_id, "sum")
    return [(metric.step, metric.value) for metric in history]


def in_mlflow(settings: Settings, run_id: str) -> Any:
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`touchline.run_id` = '{run_id}'")
    return run


def start_process(home: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that counts, each step so many seconds."""
    command = [sys.executable, "-m", "tests.jobs.toys", str(home), "count"]
    environment = {**os.environ, "COUNT_SECONDS": str(seconds)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(what: Callable[[], Any], seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def test_a_killed_pipeline_goes_on_in_the_same_run_and_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken = Settings.load(home=tmp_path / "unbroken", sinks=("mlflow",))
    unbroken.ensure_home()
    expected = counted(unbroken).result.summary["sum"]
    settings = Settings.load(home=tmp_path / "home", sinks=("mlflow",))
    process = start_process(settings.home, seconds=0.02)
    until(lambda: list(settings.runs.glob("*count*/checkpoints/step-00000000005*")))
    process.kill()
    process.wait()
    (run_id,) = [path.name for path in settings.runs.iterdir()]

    again = start_process(settings.home, seconds=0.0)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert f"Going on with the run {run_id} after" in said
    assert sorted("count" in path.name for path in settings.runs.iterdir()) == [False, True]
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    runs = {run.data.tags["touchline.job"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"count", "second"}
    assert runs["count"].info.status == "FINISHED"
    assert runs["count"].data.metrics["sum"] == pytest.approx(expected, abs=0)
    steps = [step for step, _ in sums(settings, run_id)]
    assert steps == list(range(1, 201))


def test_a_terminated_job_saves_leaves_with_143_and_goes_on_from_that_step(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", sinks=("mlflow",))
    process = start_process(settings.home, seconds=0.02)
    until(lambda: list(settings.runs.glob("*count*/checkpoints/step-*")))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 143
    run_id = newest_run(settings)
    status = read_status(settings.run_directory(run_id))
    assert status.state == "preempted"
    assert CheckpointStore(settings.run_directory(run_id) / "checkpoints").steps()[-1] == status.last_step
    outcome = run_pipeline(
        CountPipeline(), settings, recipe="toy", command="again", jobs={"count": COUNT, "second": TOYS["second"]}
    )
    assert outcome.jobs[0].run_id == run_id
    assert [step for step, _ in sums(settings, run_id)] == list(range(1, 201))


def test_a_single_job_goes_on_too_and_fresh_starts_over(settings: Settings) -> None:
    run_id = cut_off(settings)
    again = counted(settings)
    assert again.run_id == run_id
    assert [step for step, _ in sums(settings, run_id)] == list(range(1, 201))
    tags = in_mlflow(settings, run_id).data.tags
    assert tags["code.touchline"] == __version__
    (resumed,) = (value for name, value in tags.items() if name.startswith(RESUMED_TAG))
    assert re.fullmatch(r"step-\d{12}(\.\d+)? sha256 [0-9a-f]{64}", resumed), "a stop may save its step a second time"
    anew = counted(settings)
    assert anew.run_id != run_id, "a finished run is finished"
    second = cut_off(settings)
    fresh = counted(settings, resume=Resume(fresh=True))
    assert fresh.run_id not in (run_id, anew.run_id, second)
    assert fresh.result == again.result


def test_both_tracks_show_one_run_with_one_value_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with wandb_backend() as backend:
        monkeypatch.setenv("WANDB_API_KEY", API_KEY)
        settings = Settings.load(home=tmp_path / "home", sinks=("mlflow", "wandb"), wandb_base_url=backend.url)
        settings.ensure_home()
        run_id = cut_off(settings)
        again = counted(settings)
        assert again.run_id == run_id
        until(lambda: read_cursor(settings.run_directory(run_id), "wandb").closed == "finished")
        (shown,) = backend.runs.values()
    assert shown.name == run_id
    assert sorted(row["global_step"] for row in shown.history if "sum" in row) == list(range(1, 201))
    assert [step for step, _ in sums(settings, run_id)] == list(range(1, 201))


def test_how_often_a_training_records_does_not_make_it_another(settings: Settings) -> None:
    run_id = cut_off(settings)
    often = RecordingConfig(checkpoint_every=5, checkpoint_minimum_seconds=0.0, budget_usd=3.0)
    assert training_config(CountConfig(recording=often)) == training_config(CountConfig())
    assert counted(settings, CountConfig(recording=often)).run_id == run_id


def test_another_configuration_starts_anew_and_is_refused_where_the_run_is_named(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = cut_off(settings)
    other = CountConfig(seed=7)
    assert counted(settings, other).run_id != run_id
    assert f"The run {run_id} is unfinished, with another configuration" in capsys.readouterr().out
    with pytest.raises(Refused, match="seed: 0 → 7"):
        counted(settings, other, Resume(run_id=run_id))
    assert read_status(settings.run_directory(run_id)).state == "killed", "the run is as it was"
    allowed = counted(settings, other, Resume(run_id=run_id, allow_changes=True))
    assert allowed.run_id == run_id


def test_a_run_without_a_checkpoint_cannot_be_named(settings: Settings) -> None:
    done = execute(TOYS["first"], TOYS["first"].config_class()(), settings, {RECIPE: "toy"})
    with pytest.raises(TouchlineError, match=f"{done.run_id} has no checkpoint .* --fresh"):
        counted(settings, resume=Resume(run_id=done.run_id))


def test_a_run_whose_checkpoints_are_all_damaged_is_for_people_to_decide(settings: Settings) -> None:
    run_id = cut_off(settings)
    for path in settings.run_directory(run_id).glob("checkpoints/step-*/state.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(TouchlineError, match="None of the . checkpoints .* can be used"):
        counted(settings, CountConfig())
    assert counted(settings, CountConfig(), Resume(fresh=True)).run_id != run_id


def test_a_training_whose_server_is_away_goes_on_from_this_home_and_a_pipeline_says_why_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("touchline.jobs.execute.DELIVERY_SECONDS", 0.1)
    settings = Settings(home=tmp_path / "home", sinks=("mlflow",), mlflow_tracking_uri="http://127.0.0.1:9")
    settings.ensure_home()
    run_id = cut_off(settings)
    again = counted(settings)
    assert again.run_id == run_id and again.result.summary["sum"] > 0
    assert "cannot be reached" in caplog.text and "the newest one of this home counts" in caplog.text
    with pytest.raises(TouchlineError, match="does not say which runs are finished.*touchline doctor"):
        history.newest(settings, "digest")


@pytest.fixture
def machines(tmp_path: Path, fresh_store: Path) -> tuple[Settings, Settings]:
    """The settings of two machines, which share a store and the place for checkpoints ``volume``."""
    shutil.copy(fresh_store, tmp_path / "shared.db")
    first, second = (
        Settings.load(
            home=tmp_path / name,
            sinks=("mlflow",),
            checkpoints=f"file://{tmp_path}/volume",
            mlflow_tracking_uri=f"sqlite:///{tmp_path}/shared.db",
        )
        for name in ("first", "second")
    )
    first.ensure_home()
    second.ensure_home()
    return first, second


def test_a_machine_that_vanished_is_replaced_by_another_from_the_common_place(
    tmp_path: Path, machines: tuple[Settings, Settings]
) -> None:
    first, second = machines
    run_id = cut_off(first)
    assert sorted(path.name for path in (tmp_path / "volume").iterdir()) == [run_id]
    until(lambda: history.unfinished(second, {history.JOB: "count"}).run_id == run_id)
    again = counted(second, CountConfig())
    assert again.run_id == run_id
    assert [step for step, _ in sums(second, run_id)] == list(range(1, 201))


def test_a_run_without_checkpoints_whose_machine_vanished_is_ended_by_the_next_one(
    machines: tuple[Settings, Settings],
) -> None:
    (first, second), job = machines, TOYS["first"]
    lost = execute(job, job.config_class()(), first, {RECIPE: "toy"}).run_id
    connect(first).update_run(in_mlflow(first, lost).info.run_id, status="RUNNING")  # as a kill would leave it
    again = execute(job, job.config_class()(), second, {RECIPE: "toy"}).run_id
    ended = in_mlflow(second, lost)
    assert again != lost
    assert (ended.info.status, ended.data.tags["touchline.status"]) == ("KILLED", "killed")
    assert in_mlflow(second, again).info.status == "FINISHED"
