"""One job in a Run of its own: opened, finished truly whatever happens, its result recorded."""

from __future__ import annotations

import contextlib
import json
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchline.catalog.lineage import CODE_TAG, PIPELINE_TAG, RESULT_TAG, RESUMED_TAG
from touchline.checkpoint.origin import origin
from touchline.config import Settings, digest
from touchline.errors import TouchlineError, UsageError, missing_package
from touchline.filesystem import write_private
from touchline.jax_guard import guard_jax
from touchline.jobs.base import SLOW_DELIVERY_SECONDS, Interrupted, Job, JobResult, stop_requested
from touchline.jobs.checkpoints import From, Resume, going_on, store_of, training_config
from touchline.jobs.history import (
    JOB,
    JOB_DIGEST,
    TRIAL_OF,
    Unfinished,
    encode_result,
    tell_lost,
    unfinished,
)
from touchline.jobs.progress import terminal
from touchline.tracking.journal import FILE_NAME
from touchline.tracking.reports import Pruned, Reporter
from touchline.tracking.run import INTERRUPTED_CODE, PREEMPTED_CODE, Run, Status

ALWAYS_RESUME = Resume()
DELIVERY_SECONDS = 120.0
LEAVING_SECONDS = 0.5
SINK_SECONDS = 30.0
"""How long a job waits for its sinks at its end."""
TRIAL_SECONDS = 2.0
"""How long a trial waits for the far sides at its end: its couriers go on while the next one trains."""


class JobFailed(TouchlineError):
    """A job ended with an error; its run is marked failed and holds the traceback."""


@dataclass(frozen=True)
class JobOutcome:
    """A job that is done."""

    job: str
    """Its name."""
    run_id: str
    """Id of its Run."""
    seconds: float
    """Duration."""
    result: JobResult
    """What it returned."""
    delivery: Mapping[str, Any]
    """State of each sink, by name, when the run was finished; empty for one that an earlier process did."""
    before: bool = False
    """True when an earlier process of the same pipeline did it."""


def execute(
    job: Job,
    config: Any,
    settings: Settings,
    tags: Mapping[str, str],
    resume: Resume = ALWAYS_RESUME,
    reporter: Reporter | None = None,
) -> JobOutcome:
    """Run ``job`` with ``config`` and finish its Run: a new one, or the one that an earlier process left unfinished.

    Returns once MLflow has the run, or after two minutes of waiting for it; a trial, which has a ``reporter``, waits
    for nobody. Raises Interrupted or KeyboardInterrupt (the run is marked killed), Pruned (it is marked pruned) and
    JobFailed (it is marked failed); Refused when there is an unfinished run whose checkpoint another configuration or
    version of the code made.
    """
    guard_jax(settings)
    function = job.load()
    tags = {JOB: job.name, JOB_DIGEST: digest({"job": job.name, "config": training_config(config)}), **tags}
    began = time.monotonic()
    run = _open(job, config, settings, tags, resume)
    run.reporter = reporter
    patience = SINK_SECONDS if reporter is None else TRIAL_SECONDS
    try:
        result = as_result(_call(function, config, run), reporter)
    except Pruned as pruned:
        run.finish("pruned", timeout=patience, reason=str(pruned))
        raise
    except Interrupted as stopped:
        status: Status = "preempted" if stopped.reason == "preempted" else "killed"
        run.finish(status, timeout=patience, reason=str(stopped))
        raise
    except KeyboardInterrupt:
        with contextlib.suppress(TouchlineError):
            run.finish("killed", timeout=LEAVING_SECONDS, reason="Interrupted from the keyboard.")
        raise
    except Exception as error:
        raise _failed(job, run, error, patience) from error
    seconds = time.monotonic() - began
    _attach(run, "result.json", json.dumps(_whole(result, seconds), indent=2, default=str))
    run.set_tags({RESULT_TAG: encode_result(result, seconds)})
    delivery = run.finish("finished", timeout=patience)
    if "mlflow" in settings.sinks and reporter is None:
        run.wait_delivered("mlflow", DELIVERY_SECONDS, SLOW_DELIVERY_SECONDS, stop_requested)
        delivery = run.delivery()
    return JobOutcome(job.name, run.id, seconds, result, delivery)


def _call(function: Callable[[Any, Any], Any], config: Any, run: Run) -> Any:
    """Call a job. Where it leaves by ``sys.exit``, raise what that means."""
    try:
        return function(config, run)
    except SystemExit as left:
        if left.code in (INTERRUPTED_CODE, PREEMPTED_CODE):  # a CheckpointStore with a stop signal of its own
            reason = "preempted" if left.code == PREEMPTED_CODE else "interrupted"
            raise Interrupted("Stopped where the checkpoint was saved, as asked.", reason) from left
        raise RuntimeError(f"It called sys.exit({left.code!r}) instead of returning.") from left


def as_result(returned: Any, reporter: Reporter | None) -> JobResult:
    """What a job returned as a JobResult: anyone's function may return its objective, or nothing.

    A trial's has an objective, what was reported last where nothing else is said. Raises UsageError where there is
    none, and FloatingPointError where it is not finite.
    """
    if isinstance(returned, JobResult):
        result = returned
    else:
        result = JobResult(objective=None if returned is None else float(returned))
    if reporter is None:
        return result
    objective = reporter.last if result.objective is None else float(result.objective)
    if objective is None:
        raise UsageError("The job returned no objective and reported none. Return a number, or call run.report().")
    if not math.isfinite(objective):
        raise FloatingPointError(f"The objective is {objective}.")
    return replace(result, objective=objective)


@contextlib.contextmanager
def saying_how_to_go_on(command: str) -> Iterator[None]:
    """Add to what ends a job which command goes on."""
    try:
        yield
    except JobFailed as error:
        raise JobFailed(f"{error} Go on with: {command}") from error
    except Interrupted as error:
        raise Interrupted(f"{error} Go on with: {command}", error.reason) from error


def _open(job: Job, config: Any, settings: Settings, tags: Mapping[str, str], resume: Resume) -> Run:
    from touchline.tracking.start import start_run

    chosen = resume.fresh or resume.run_id is not None
    left = Unfinished(resume.run_id) if chosen else unfinished(settings, tags)
    named = resume.run_id if resume.or_begin else None
    has_begun = named is not None and _has_journal(settings, named)
    with going_on(left.run_id, config, settings, resume) as found:
        if found is None and left.run_id is not None and named is None and not _has_journal(settings, left.run_id):
            tell_lost(settings, left.run_id)
        run = start_run(
            job=job.name,
            config=config,
            tags={**tags, **_made_by(), **_resumed(found)},
            settings=settings,
            group=tags.get(PIPELINE_TAG, tags.get(TRIAL_OF)),
            parent=tags.get(TRIAL_OF),
            run_id=found.run_id if found is not None else named,
            resume=found.directory if found is not None else 0 if has_begun else None,
        )
    if found is not None:
        terminal().print(
            f"  Going on with the run [bold]{run.id}[/] after {found.step:,} policy transitions; "
            "to start over: --fresh"
        )
    elif left.run_id is not None and named is None:
        terminal().print(f"  The run [bold]{left.run_id}[/] is unfinished and has no checkpoint: this one is new")
    elif left.otherwise is not None and _has_checkpoints(left.otherwise, config, settings):
        terminal().print(
            f"  The run [bold]{left.otherwise}[/] is unfinished, with another configuration, and this is a new one. "
            f"To go on with that one: touchline run {job.name} --resume {left.otherwise} --allow-changes"
        )
    return run


def _has_journal(settings: Settings, run_id: str) -> bool:
    """Whether this home knows the run, so that its couriers tell of its end."""
    return (settings.run_directory(run_id) / FILE_NAME).exists()


def _made_by() -> dict[str, str]:
    """Tags of the code that runs: Touchline's version and, from a git checkout, its commit and what was changed."""
    return {f"{CODE_TAG}{name}": value for name, value in origin(beside=Path(__file__)).code.items()}


def _resumed(found: From | None) -> dict[str, str]:
    """The tag of the checkpoint that the run goes on from; a run that was cut off twice has two."""
    return {} if found is None else {f"{RESUMED_TAG}{found.step:012d}": f"{found.name} sha256 {found.digest}"}


def _has_checkpoints(run_id: str, config: Any, settings: Settings) -> bool:
    with contextlib.suppress(TouchlineError):  # of a place that cannot be reached now
        return bool(store_of(run_id, config, settings).steps())
    return False


def _whole(result: JobResult, seconds: float) -> dict[str, Any]:
    whole = {"seconds": seconds, "summary": result.summary, "sentences": result.sentences}
    return whole if result.objective is None else {**whole, "objective": result.objective}


def _failed(job: Job, run: Run, error: Exception, patience: float) -> JobFailed:
    """Record the traceback, mark the run and build the sentence."""
    missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else None
    what = missing or (str(error) if isinstance(error, TouchlineError) else f"{type(error).__name__}: {error}")
    told = f"The job {job.name} failed. {what.rstrip('.')}."
    try:
        path = _attach(run, "traceback.txt", "".join(traceback.format_exception(error)))
        told += f" The traceback is in {path}."
        run.finish("failed", timeout=patience, reason=what)
    except (OSError, TouchlineError) as second:
        # A full disk takes neither the traceback nor the end; the couriers tell the far sides that it died.
        told += f" Its end could not be recorded either: {str(second).rstrip('.')}."
    return JobFailed(told)


def _attach(run: Run, name: str, text: str) -> Path:
    """Write ``text`` into the run's directory and log it as the artifact ``name``."""
    path = run.directory / name
    write_private(path, text)
    run.log_artifact(path)
    return path
