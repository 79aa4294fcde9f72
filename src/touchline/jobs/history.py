"""What MLflow says about a pipeline: which of its jobs are finished, and with what result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.base import JobResult

PIPELINE = "touchline.pipeline"
DIGEST = "touchline.pipeline_digest"
RECIPE = "touchline.recipe"
JOB = "touchline.job"
JOB_DIGEST = "touchline.job_digest"
RUN_ID = "touchline.run_id"
RESULT = "touchline.result"
CATCH_UP_SECONDS = 30.0
NEWEST_RUNS = 12
"""Two pipelines of six jobs."""
MAX_TAG_LENGTH = 4_900  # Databricks takes 5,000 characters, MLflow's own store 8,000


@dataclass(frozen=True)
class FinishedJob:
    """A job that MLflow knows as finished."""

    run_id: str
    """Touchline's run id."""
    seconds: float
    """Duration."""
    result: JobResult
    """What it returned."""


@dataclass(frozen=True)
class Past:
    """The newest pipeline of one recipe and configuration."""

    pipeline: str
    """Its id."""
    finished: Mapping[str, FinishedJob] = field(default_factory=dict)
    """The finished jobs by name."""


def newest(settings: Settings, config_digest: str) -> Past | None:
    """Ask MLflow for the newest pipeline with this digest; None when there is none, or no store yet.

    Raises TouchlineError when the store does not answer.
    """
    runs = _runs(settings, {DIGEST: config_digest})
    if not runs:
        return None
    pipeline = runs[0].data.tags[PIPELINE]
    mine = [run for run in runs if run.data.tags.get(PIPELINE) == pipeline and run.info.status == "FINISHED"]
    return Past(pipeline, {run.data.tags[JOB]: _finished(run) for run in reversed(mine)})


def unfinished(settings: Settings, tags: Mapping[str, str]) -> str | None:
    """Return the id of the newest run of a job unless it is finished: same job, configuration and pipeline, if any.

    ``tags`` are those that a new run would get. MLflow is asked where it is a sink, the journals of the home else.
    Raises TouchlineError when the store does not answer.
    """
    wanted = {name: tags[name] for name in (JOB, JOB_DIGEST, PIPELINE) if name in tags}
    if "mlflow" not in settings.sinks:
        return _unfinished_here(settings, wanted)
    runs = _runs(settings, wanted)
    if not runs or runs[0].info.status == "FINISHED":
        return None
    run_id: str | None = runs[0].data.tags.get(RUN_ID)
    return run_id


def catch_up(settings: Settings) -> None:
    """Let MLflow catch up with the newest runs: a process that was killed a moment ago told it nothing more."""
    from touchline.tracking.sync import run_ids, sync

    if "mlflow" in settings.sinks and (runs := run_ids(settings)):
        sync(settings, runs[-NEWEST_RUNS:], ["mlflow"], timeout=CATCH_UP_SECONDS)


def _runs(settings: Settings, tags: Mapping[str, str]) -> list[Any]:
    """MLflow's runs with these tags, newest first; none where there is no store yet."""
    if settings.mlflow_tracking_uri is None and not (settings.home / "mlflow.db").exists():
        return []  # asking would create it, at the same time as a courier perhaps
    from mlflow.exceptions import MlflowException

    from touchline.tracking.mlflow_store import connect

    try:
        client = connect(settings)
        experiment = client.get_experiment_by_name(settings.project)
        if experiment is None:
            return []
        found: list[Any] = client.search_runs(
            [experiment.experiment_id],
            filter_string=" and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items()),
            order_by=["attributes.start_time DESC"],
            max_results=200,
        )
    except (MlflowException, OSError) as error:
        raise TouchlineError(
            f"MLflow does not say how far the pipeline is ({error}). Look into it with: touchline doctor"
        ) from error
    return found


def _unfinished_here(settings: Settings, tags: Mapping[str, str]) -> str | None:
    from touchline.tracking.journal import FILE_NAME, JournalReader
    from touchline.tracking.sync import run_ids

    for run_id in reversed(run_ids(settings)):
        with JournalReader(settings.run_directory(run_id) / FILE_NAME) as journal:
            told: dict[str, Any] = {}
            for event in journal.of_kind(["tags"]):
                told |= event.payload
            if any(told.get(name) != value for name, value in tags.items()):
                continue
            start, end = journal.newest("start"), journal.newest("end")
        ended = start is not None and end is not None and end.seq > start.seq
        return None if ended and end is not None and end.payload["status"] == "finished" else run_id
    return None


def _finished(run: Any) -> FinishedJob:
    tags = run.data.tags
    result, seconds = decode_result(tags.get(RESULT, "{}"))
    return FinishedJob(tags.get(RUN_ID, run.info.run_id), seconds, result)


def encode_result(result: JobResult, seconds: float) -> str:
    """Put a job's result and duration into the text of one tag; what is too long stays in ``result.json``."""
    whole = {"seconds": seconds, "summary": result.summary, "sentences": result.sentences}
    for kept in (("seconds", "summary", "sentences"), ("seconds", "summary"), ("seconds",)):
        text = json.dumps({key: whole[key] for key in kept}, default=str)
        if len(text) <= MAX_TAG_LENGTH:
            break
    return text


def decode_result(text: str) -> tuple[JobResult, float]:
    """Read ``encode_result``'s text: the result and the seconds."""
    values = json.loads(text)
    result = JobResult(values.get("summary", {}), tuple(values.get("sentences", ())))
    return result, float(values.get("seconds", 0.0))
