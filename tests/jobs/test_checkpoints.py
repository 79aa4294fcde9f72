"""A job that was cut off goes on in its own run: same id, one value a step, the end of an unbroken one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.toys import COUNT, TOYS, CountConfig, CountPipeline
from touchline.checkpoint import CheckpointStore, Refused
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs import history
from touchline.jobs.base import Interrupted
from touchline.jobs.checkpoints import Resume, training_config
from touchline.jobs.execute import JobOutcome, execute
from touchline.jobs.history import RECIPE
from touchline.jobs.pipeline import run_pipeline
from touchline.jobs.recording import RecordingConfig
from touchline.jobs.run import stoppable
from touchline.tracking.journal import JournalReader
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


def cut_off(settings: Settings, config: CountConfig | None = None, after: float = 0.3) -> str:
    """Count until Ctrl-C; returns the run's id."""
    slow = replace(config or CountConfig(), pause=0.01)
    with stoppable(), pytest.raises(Interrupted):
        os_timer = subprocess.Popen([sys.executable, "-c", f"import os, time, signal; time.sleep({after}); os.kill({os.getpid()}, signal.SIGINT)"])  # fmt: skip  # noqa: E501
        try:
            counted(settings, slow)
        finally:
            os_timer.wait()
    return newest_run(settings)


def newest_run(settings: Settings) -> str:
    return max(path.name for path in settings.runs.iterdir())


def sums(settings: Settings, run_id: str) -> list[tuple[int, float]]:
    """What MLflow has of the curve, in the order in which it was told."""
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`touchline.run_id` = '{run_id}'")
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "sum")]


def start_process(home: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.jobs.toys", str(home), f"count:{pause}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
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
    process = start_process(settings.home, pause=0.02)
    until(lambda: list(settings.runs.glob("*count*/checkpoints/step-00000000005*")))
    process.kill()
    process.wait()
    (run_id,) = [path.name for path in settings.runs.iterdir()]

    again = start_process(settings.home, pause=0.0)
    said, _ = again.communicate(timeout=120)
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
    process = start_process(settings.home, pause=0.02)
    until(lambda: list(settings.runs.glob("*count*/checkpoints/step-*")))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    run_id = newest_run(settings)
    status = read_status(settings.run_directory(run_id))
    assert status.state == "preempted"
    assert CheckpointStore(settings.run_directory(run_id) / "checkpoints").steps()[-1] == status.last_step
    outcome = run_pipeline(
        CountPipeline(), settings, recipe="toy", command="again", jobs={"count": COUNT, "second": TOYS["second"]}
    )
    # Without its pause the configuration is another one, so this is another pipeline.
    assert outcome.jobs[0].run_id != run_id


def test_a_single_job_goes_on_too_and_fresh_starts_over(settings: Settings) -> None:
    config = CountConfig(pause=0.01)
    run_id = cut_off(settings, config)
    with JournalReader(settings.run_directory(run_id) / "journal.db") as journal:
        before = journal.highest_step() if hasattr(journal, "highest_step") else None
    again = counted(settings, config)
    assert again.run_id == run_id
    assert [step for step, _ in sums(settings, run_id)] == list(range(1, 201)), before
    anew = counted(settings, config)
    assert anew.run_id != run_id, "a finished run is finished"
    second = cut_off(settings, config)
    fresh = counted(settings, config, Resume(fresh=True))
    assert fresh.run_id not in (run_id, anew.run_id, second)
    assert fresh.result == again.result


def test_how_often_a_training_records_does_not_make_it_another(settings: Settings) -> None:
    run_id = cut_off(settings)
    often = RecordingConfig(checkpoint_every=5, checkpoint_minimum_seconds=0.0, budget_usd=3.0)
    assert training_config(CountConfig(recording=often)) == training_config(CountConfig())
    assert counted(settings, CountConfig(pause=0.01, recording=often)).run_id == run_id


def test_another_configuration_starts_anew_and_is_refused_where_the_run_is_named(settings: Settings) -> None:
    run_id = cut_off(settings)
    other = CountConfig(pause=0.01, seed=7)
    with pytest.raises(Refused, match="seed: 0 → 7"):
        counted(settings, other, Resume(run_id=run_id))
    assert read_status(settings.run_directory(run_id)).state == "killed", "the run is as it was"
    allowed = counted(settings, other, Resume(run_id=run_id, allow_changes=True))
    assert allowed.run_id == run_id
    assert counted(settings, other).run_id != run_id


def test_a_run_without_a_checkpoint_cannot_be_named(settings: Settings) -> None:
    done = execute(TOYS["first"], TOYS["first"].config_class()(), settings, {RECIPE: "toy"})
    with pytest.raises(TouchlineError, match=f"{done.run_id} has no checkpoint .* --fresh"):
        counted(settings, resume=Resume(run_id=done.run_id))


def test_a_run_whose_checkpoints_are_all_damaged_is_for_people_to_decide(settings: Settings) -> None:
    run_id = cut_off(settings)
    for path in settings.run_directory(run_id).glob("checkpoints/step-*/state.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(TouchlineError, match="None of the . checkpoints .* can be used"):
        counted(settings, CountConfig(pause=0.01))
    assert counted(settings, CountConfig(pause=0.01), Resume(fresh=True)).run_id != run_id


def test_a_training_whose_server_is_away_goes_on_from_this_home_and_a_pipeline_says_why_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path / "home", sinks=("mlflow",), mlflow_tracking_uri="http://127.0.0.1:9")
    settings.ensure_home()
    assert history.unfinished(settings, {history.JOB: "count"}) is None
    assert "cannot be reached" in caplog.text and "the newest one of this home counts" in caplog.text
    with pytest.raises(TouchlineError, match="does not say which runs are finished.*touchline doctor"):
        history.newest(settings, "digest")


def test_a_machine_that_vanished_is_replaced_by_another_from_the_common_place(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    common = str(tmp_path / "volume")

    def machine(name: str) -> Settings:
        settings = Settings.load(
            home=tmp_path / name, sinks=("mlflow",), checkpoints=f"file://{common}", mlflow_tracking_uri=store
        )
        settings.ensure_home()
        return settings

    run_id = cut_off(machine("first"), after=1.0)
    assert sorted(path.name for path in Path(common).iterdir()) == [run_id]
    second = machine("second")
    until(lambda: history.unfinished(second, {history.JOB: "count"}) == run_id)
    again = counted(second, CountConfig(pause=0.01))
    assert again.run_id == run_id
    assert [step for step, _ in sums(second, run_id)] == list(range(1, 201))
