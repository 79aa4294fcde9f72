"""What MLflow says about a pipeline: which of its jobs are finished, and with what result."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from touchline.catalog.lineage import PIPELINE_TAG, RESULT_TAG
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.base import JobResult

logger = logging.getLogger("touchline")

DIGEST = "touchline.pipeline_digest"
RECIPE = "touchline.recipe"
JOB = "touchline.job"
JOB_DIGEST = "touchline.job_digest"
RUN_ID = "touchline.run_id"
TRIAL_OF = "touchline.trial_of"
"""Tag of a trial's run: the run of its study, in which it is nested and by which trials are grouped."""
CATCH_UP_SECONDS = 30.0
NEWEST_RUNS = 12
"""Two pipelines of six jobs."""
NEWEST_RUNS_ASKED = 200
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
    """Return the newest pipeline with this digest, and of its jobs those that MLflow has whole; None without one.

    A pipeline that was killed before MLflow heard of it is known by its journals. Raises TouchlineError when the
    store does not answer.
    """
    wanted = {DIGEST: config_digest}
    delivered = _of_mlflow(settings, wanted) if "mlflow" in settings.sinks else []
    runs = _together(_of_journals(settings, wanted), delivered)
    if not runs:
        return None
    pipeline = runs[0].tags[PIPELINE_TAG]
    mine = [run for run in runs if run.tags.get(PIPELINE_TAG) == pipeline and run.is_delivered]
    return Past(pipeline, {run.tags[JOB]: _finished(run) for run in reversed(mine)})


@dataclass(frozen=True)
class Unfinished:
    """What earlier processes left of a job."""

    run_id: str | None = None
    """Its newest run of the same configuration and pipeline, unless that one is finished."""
    otherwise: str | None = None
    """Where there is none: its newest run of all, if that one is unfinished and of another configuration."""


def unfinished(settings: Settings, tags: Mapping[str, str]) -> Unfinished:
    """Return what is unfinished of the job whose new run would get ``tags``.

    The home's own store knows no run that the journals do not, and MLflow takes seconds to import, so only a store
    for several machines is asked. Where that does not answer, the journals say it alone: a training waits for no
    server.
    """
    wanted = {JOB: tags[JOB]}
    elsewhere: list[_Told] = []
    if settings.mlflow_tracking_uri is not None and "mlflow" in settings.sinks:
        try:
            elsewhere = _of_mlflow(settings, wanted)
        except TouchlineError as error:
            logger.warning("%s Runs of other machines are not known, so the newest one of this home counts.", error)
    # The runs of a study's trials are the study's affair.
    runs = [run for run in _together(_of_journals(settings, wanted), elsewhere) if TRIAL_OF not in run.tags]
    same = [run for run in runs if all(run.tags.get(n) == tags[n] for n in (JOB_DIGEST, PIPELINE_TAG) if n in tags)]
    if same and not same[0].is_finished:
        return Unfinished(same[0].run_id)
    if runs and not runs[0].is_finished and runs[0].tags.get(JOB_DIGEST) != tags.get(JOB_DIGEST):
        return Unfinished(otherwise=runs[0].run_id)
    return Unfinished()


def tell_lost(settings: Settings, run_id: str) -> None:
    """Tell MLflow that a run was killed whose machine is gone with its journal: no courier is left that could.

    Should that machine be there all the same, its courier sets the true status when the run ends.
    """
    from mlflow.exceptions import MlflowException

    from touchline.tracking.mlflow_store import connect, find_experiment
    from touchline.tracking.sinks.base import SinkUnavailable
    from touchline.tracking.sinks.mlflow_session import STATUS_TAG

    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it prints where a run is that ends
    try:
        client = connect(settings)
        if (experiment := find_experiment(client, settings)) is None:
            return
        wanted = f"tags.`{RUN_ID}` = '{run_id}' and attributes.status = 'RUNNING'"
        for run in client.search_runs([experiment.experiment_id], wanted):
            client.set_tag(run.info.run_id, STATUS_TAG, "killed")
            client.set_terminated(run.info.run_id, "KILLED")
    except (MlflowException, SinkUnavailable, OSError) as error:
        logger.warning("MLflow was not told that the run %s was killed: %s", run_id, error)


def catch_up(settings: Settings) -> None:
    """Let MLflow catch up with the newest runs: a process that was killed a moment ago told it nothing more."""
    from touchline.tracking.sync import run_ids, sync

    if "mlflow" in settings.sinks and (runs := run_ids(settings)):
        sync(settings, runs[-NEWEST_RUNS:], ["mlflow"], timeout=CATCH_UP_SECONDS)


@dataclass(frozen=True)
class _Told:
    """A run as the store, or its journal, tells of it."""

    run_id: str
    tags: Mapping[str, str]
    started: float
    """Seconds since the epoch."""
    is_finished: bool
    is_delivered: bool
    """Whether MLflow has it as finished, and with it all that the next job needs."""


def _together(here: Iterable[_Told], elsewhere: Iterable[_Told]) -> list[_Told]:
    """What journals and store tell, the newest first; a run that both know is finished when one says so."""
    runs = {run.run_id: run for run in here}
    for run in elsewhere:
        is_finished = run.is_finished or (run.run_id in runs and runs[run.run_id].is_finished)
        runs[run.run_id] = replace(run, is_finished=is_finished)
    return sorted(runs.values(), key=lambda run: run.started, reverse=True)


def _of_mlflow(settings: Settings, wanted: Mapping[str, str]) -> list[_Told]:
    if not settings.has_store:
        return []  # asking would create it, at the same time as a courier perhaps
    from mlflow.exceptions import MlflowException

    from touchline.tracking.mlflow_store import check_store, connect, find_experiment
    from touchline.tracking.sinks.base import SinkUnavailable

    try:
        check_store(settings)  # within seconds; MLflow's own patience is minutes
        client = connect(settings)
        experiment = find_experiment(client, settings)
        if experiment is None:
            return []
        found = client.search_runs(
            [experiment.experiment_id],
            filter_string=" and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items()),
            order_by=["attributes.start_time DESC"],
            max_results=NEWEST_RUNS_ASKED,
        )
    except (MlflowException, SinkUnavailable, OSError) as error:
        raise TouchlineError(
            f"MLflow does not say which runs are finished ({str(error).rstrip('.')}). Look into it with: touchline "
            "doctor."
        ) from error
    return [_as_told(run) for run in found]


def _as_told(run: Any) -> _Told:
    finished = run.info.status == "FINISHED"
    tags: Mapping[str, str] = run.data.tags
    return _Told(tags.get(RUN_ID, run.info.run_id), tags, run.info.start_time / 1e3, finished, finished)


def _of_journals(settings: Settings, wanted: Mapping[str, str]) -> list[_Told]:
    from touchline.tracking.journal import FILE_NAME, JournalReader
    from touchline.tracking.sync import run_ids

    found = []
    for run_id in run_ids(settings)[-NEWEST_RUNS_ASKED:]:
        with (
            contextlib.suppress(TouchlineError),
            JournalReader(settings.run_directory(run_id) / FILE_NAME) as journal,
        ):
            marks = journal.of_kind(["start", "end", "tags"])
            tags = {name: value for event in marks if event.kind == "tags" for name, value in event.payload.items()}
            if any(tags.get(name) != value for name, value in wanted.items()):
                continue
            finished = marks[-1].kind == "end" and marks[-1].payload["status"] == "finished"
            found.append(_Told(run_id, tags, marks[0].time, finished, is_delivered=False))
    return found


def _finished(run: _Told) -> FinishedJob:
    result, seconds = decode_result(run.tags.get(RESULT_TAG, "{}"))
    return FinishedJob(run.run_id, seconds, result)


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
