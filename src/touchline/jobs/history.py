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
RESULT = "touchline.result"
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
    if settings.mlflow_tracking_uri is None and not (settings.home / "mlflow.db").exists():
        return None  # asking would create it, at the same time as a courier perhaps
    from mlflow.exceptions import MlflowException

    from touchline.tracking.mlflow_store import connect

    try:
        client = connect(settings)
        experiment = client.get_experiment_by_name(settings.project)
        if experiment is None:
            return None
        runs = client.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.`{DIGEST}` = '{config_digest}'",
            order_by=["attributes.start_time DESC"],
            max_results=200,
        )
    except (MlflowException, OSError) as error:
        raise TouchlineError(
            f"MLflow does not say how far the pipeline is ({error}). Look into it with: touchline doctor"
        ) from error
    if not runs:
        return None
    pipeline = runs[0].data.tags[PIPELINE]
    mine = [run for run in runs if run.data.tags.get(PIPELINE) == pipeline and run.info.status == "FINISHED"]
    return Past(pipeline, {run.data.tags[JOB]: _finished(run) for run in reversed(mine)})


def _finished(run: Any) -> FinishedJob:
    tags = run.data.tags
    result, seconds = decode_result(tags.get(RESULT, "{}"))
    return FinishedJob(tags.get("touchline.run_id", run.info.run_id), seconds, result)


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
