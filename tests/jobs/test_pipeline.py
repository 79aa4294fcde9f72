"""The pipeline: what a person sees of it when it goes well, fails, is interrupted, or is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkpoint.metadata_services import GcpService, serving
from tests.jobs.toys import TOYS, ToyConfig, ToyPipeline
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.execute import JobFailed
from touchline.jobs.pipeline import PipelineOutcome, run_pipeline
from touchline.tracking.mlflow_store import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", sinks=("mlflow",))


def run(settings: Settings, config: ToyPipeline) -> PipelineOutcome:
    settings.ensure_home()
    return run_pipeline(config, settings, recipe="toy", command="toys again", jobs=TOYS)


def mlflow_statuses(settings: Settings) -> list[tuple[str, str]]:
    """(job, status) of every run, oldest first."""
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [(run.data.tags["touchline.job"], run.info.status) for run in runs]


def test_every_job_has_a_run_of_its_own_in_order(settings: Settings) -> None:
    outcome = run(settings, ToyPipeline(seed=10, second=ToyConfig(seed=1)))
    assert [(job.job, job.result.summary["seed"]) for job in outcome.jobs] == [
        ("first", 10), ("second", 11), ("third", 10),
    ]  # fmt: skip
    assert mlflow_statuses(settings) == [("first", "FINISHED"), ("second", "FINISHED"), ("third", "FINISHED")]


def test_a_failed_pipeline_goes_on_with_the_job_that_failed(settings: Settings, tmp_path: Path) -> None:
    trouble = tmp_path / "fail"
    trouble.touch()
    config = ToyPipeline(second=ToyConfig(trouble=str(trouble)))
    with pytest.raises(JobFailed, match="second failed. ValueError: the ball is flat.*Go on with: toys again"):
        run(settings, config)
    assert mlflow_statuses(settings) == [("first", "FINISHED"), ("second", "FAILED")]
    trouble.unlink()
    outcome = run(settings, config)
    assert [job.before for job in outcome.jobs] == [True, False, False]
    assert outcome.jobs[0].result.sentences == ("first had the seed 0.",)
    assert outcome.jobs[0].seconds > 0
    again = run(settings, config)
    assert again.pipeline != outcome.pipeline
    assert not any(job.before for job in again.jobs)


def test_another_configuration_is_another_pipeline(settings: Settings, tmp_path: Path) -> None:
    trouble = tmp_path / "fail"
    trouble.touch()
    with pytest.raises(JobFailed):
        run(settings, ToyPipeline(second=ToyConfig(trouble=str(trouble))))
    outcome = run(settings, ToyPipeline(seed=1))
    assert not any(job.before for job in outcome.jobs)


def test_the_traceback_lies_where_the_sentence_says(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    with pytest.raises(JobFailed) as caught:
        run(settings, ToyPipeline(first=ToyConfig(trouble=str(tmp_path / "fail"))))
    path = Path(str(caught.value).split("The traceback is in ")[1].split(". Go on")[0])
    assert "ValueError: the ball is flat" in path.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the toys in a process of their own; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(trouble: str = "wait", **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.jobs.toys", str(tmp_path / "home"), str(tmp_path / trouble)]
        pipe, environment = subprocess.PIPE, {**os.environ, **variables}
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the process makes the file; fails at once when the process ends instead."""
    wait_until(lambda: path.exists() or process.poll() is not None)
    assert path.exists(), process.communicate()


@pytest.mark.parametrize(
    ("number", "code", "status"), [(signal.SIGINT, 130, "killed"), (signal.SIGTERM, 143, "preempted")]
)
def test_a_signal_stops_at_the_next_boundary_and_marks_the_run(
    settings: Settings,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
    code: int,
    status: str,
) -> None:
    (tmp_path / "wait").touch()
    process = start()
    wait_for(tmp_path / "waiting", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    assert "Stopping at the next boundary" in errors
    assert "Stopped between two steps" in errors
    assert "Go on with: toys again" in errors
    assert "Traceback" not in errors
    assert mlflow_statuses(settings) == [("first", "FINISHED"), ("second", "KILLED")]
    client = connect(settings)
    runs = client.search_runs([client.get_experiment_by_name(settings.project).experiment_id])
    assert status in {run.data.tags.get("touchline.status") for run in runs}


def test_a_clouds_notice_stops_at_the_next_boundary_and_is_named_at_the_end(
    settings: Settings, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "wait").touch()
    service = GcpService()
    with serving(service) as address:
        process = start(TOUCHLINE_PREEMPTION="gcp", GCE_METADATA_HOST=address)
        wait_for(tmp_path / "waiting", process)
        assert process.poll() is None
        service.say("preempted", "TRUE")
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 143, errors
    told = "The GCP metadata service announced that this machine is preempted; about 30 s are left."
    assert f"{told} The training stops at its next boundary." in errors
    assert f"Stopped between two steps, as asked. {told} Go on with: toys again" in " ".join(errors.split())
    client = connect(settings)
    runs = client.search_runs([client.get_experiment_by_name(settings.project).experiment_id])
    statuses = {run.data.tags["touchline.job"]: run.data.tags.get("touchline.status") for run in runs}
    assert statuses["second"] == "preempted"


@pytest.mark.parametrize("trouble", ["wait", "block"])
def test_a_second_interrupt_ends_at_once_whatever_the_job_does(
    settings: Settings, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], trouble: str
) -> None:
    (tmp_path / trouble).touch()
    process = start(trouble)
    wait_for(tmp_path / "waiting", process)
    began = time.monotonic()
    while process.poll() is None:  # signals that arrive together count once
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        assert time.monotonic() - began < 10.0
    # One that arrives while Python leaves ends it by the signal, which a shell calls 130 too.
    assert process.returncode in (130, -signal.SIGINT), process.communicate()
    wait_until(lambda: mlflow_statuses(settings)[-1:] == [("second", "KILLED")])


def test_a_killed_pipeline_goes_on_where_it_was(
    settings: Settings, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "wait").touch()
    process = start()
    wait_for(tmp_path / "waiting", process)
    process.kill()
    process.communicate()
    (tmp_path / "wait").unlink()
    again = start()
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "of which MLflow has finished: first" in output
    assert mlflow_statuses(settings) == [
        ("first", "FINISHED"), ("second", "KILLED"), ("second", "FINISHED"), ("third", "FINISHED"),
    ]  # fmt: skip


def test_two_pipelines_do_not_share_a_home(
    settings: Settings, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "wait").touch()
    process = start()
    wait_for(tmp_path / "waiting", process)
    with pytest.raises(TouchlineError, match=rf"process {process.pid}.*--home"):
        run(settings, ToyPipeline())


def test_the_lock_of_a_dead_pipeline_is_free(settings: Settings) -> None:
    settings.ensure_home()
    (settings.home / "pipeline.lock").write_text(str(os.getpid()))
    assert len(run(settings, ToyPipeline()).jobs) == 3
