"""The pipeline: every job of the table in order, each in a Run of its own, resumable from what MLflow says."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from touchline.catalog.lineage import PIPELINE_TAG
from touchline.config import Settings, digest
from touchline.errors import TouchlineError
from touchline.jobs.base import JOBS, Job, raise_if_stopped
from touchline.jobs.checkpoints import Resume, training_config
from touchline.jobs.execute import ALWAYS_RESUME, JobOutcome, execute, saying_how_to_go_on
from touchline.jobs.history import DIGEST, RECIPE, Past, catch_up, newest
from touchline.jobs.progress import clock, terminal


@dataclass(frozen=True)
class PipelineOutcome:
    """A pipeline that is through."""

    pipeline: str
    """Its id, the tag ``touchline.pipeline`` of its runs."""
    jobs: tuple[JobOutcome, ...]
    """The jobs in order."""
    seconds: float
    """Duration of this process's part."""


def job_config(config: Any, name: str) -> Any:
    """Return the configuration of one job: the pipeline's seed is added to its own, the world is the pipeline's."""
    mine = getattr(config, name)
    changes: dict[str, Any] = {}
    if hasattr(mine, "seed"):
        changes["seed"] = mine.seed + config.seed
    if hasattr(mine, "world") and hasattr(config, "world"):
        changes["world"] = config.world
    return dataclasses.replace(mine, **changes)


def run_pipeline(
    config: Any,
    settings: Settings,
    *,
    recipe: str,
    command: str,
    jobs: Mapping[str, Job] = JOBS,
    resume: Resume = ALWAYS_RESUME,
    tags: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> PipelineOutcome:
    """Run every job of ``jobs`` that the newest pipeline of this recipe and configuration has not finished.

    A job that was cut off goes on from its newest checkpoint. ``config`` has a ``seed`` and one field a job;
    ``command`` is what a person types to go on; ``resume.fresh`` begins a new pipeline; ``tags`` has further tags of
    a job's Run, by job. Raises JobFailed or Interrupted, with that command in the sentence, and TouchlineError when
    another pipeline uses the home.
    """
    began = time.monotonic()
    console = terminal()
    with _alone(settings):
        config_digest = digest({"recipe": recipe, "config": training_config(config)})
        past = _new() if resume.fresh else _past(settings, config_digest, jobs)
        shared = {PIPELINE_TAG: past.pipeline, DIGEST: config_digest, RECIPE: recipe}
        if past.finished:
            console.print(
                f"Going on with pipeline [bold]{past.pipeline}[/], of which MLflow has finished: "
                f"{', '.join(past.finished)}."
            )
        outcomes: list[JobOutcome] = []
        for number, job in enumerate(jobs.values(), start=1):
            console.print(f"[bold]{number}/{len(jobs)} {job.name}[/] [dim]{job.does}[/]")
            outcome = _before(past, job) or _now(
                job, config, settings, {**shared, **tags.get(job.name, {})}, command, resume
            )
            outcomes.append(outcome)
            when = " (before)" if outcome.before else ""
            console.print(f"  [green]done[/] in {clock(outcome.seconds)}{when}")
            for sentence in outcome.result.sentences:
                console.print(f"  {sentence}", markup=False)
    return PipelineOutcome(past.pipeline, tuple(outcomes), time.monotonic() - began)


def _now(
    job: Job, config: Any, settings: Settings, tags: Mapping[str, str], command: str, resume: Resume
) -> JobOutcome:
    with saying_how_to_go_on(command):
        raise_if_stopped(f"before {job.name}")
        return execute(job, job_config(config, job.name), settings, tags, resume)


def _before(past: Past, job: Job) -> JobOutcome | None:
    done = past.finished.get(job.name)
    if done is None:
        return None
    return JobOutcome(job.name, done.run_id, done.seconds, done.result, {}, before=True)


def _past(settings: Settings, config_digest: str, jobs: Mapping[str, Job]) -> Past:
    """Return the newest pipeline if it is unfinished, cut before its first unfinished job; else a new one."""
    catch_up(settings)
    past = newest(settings, config_digest)
    if past is None or all(name in past.finished for name in jobs):
        return _new()
    finished = {}
    for name in jobs:
        if name not in past.finished:
            break
        finished[name] = past.finished[name]
    return Past(past.pipeline, finished)


def _new() -> Past:
    return Past(f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the home's pipeline lock; the kernel lets it go when the process ends, however it ends."""
    path: Path = settings.home / "pipeline.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise TouchlineError(
                f"A pipeline is at work in {settings.home} already (process {lock.read().strip() or 'unknown'}). "
                "Wait for it, or give this one a home of its own with --home."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
