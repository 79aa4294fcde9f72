"""Where runs go (tracking URI, experiment), and how one begins and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchline.compat.mlflow import _active
from touchline.compat.mlflow._active import ActiveRun
from touchline.compat.ranks import is_silent
from touchline.compat.steps import FreeSteps
from touchline.compat.told import tell
from touchline.config import Settings
from touchline.errors import UsageError
from touchline.tracking import run as tracking
from touchline.tracking.journal import FILE_NAME
from touchline.tracking.start import start_run as touchline_start_run

JOB = "train"
DESCRIPTION = "mlflow.note.content"
_STATUSES: dict[str, tracking.Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}


@dataclass(frozen=True)
class Experiment:
    """An experiment; its id is its name, since its number is known to the server only."""

    name: str
    experiment_id: str
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Choice:
    uri: str | None = None
    experiment: str | None = None


_choice = _Choice()


def set_tracking_uri(uri: str | Path) -> None:
    """Deliver runs that begin from now on to this MLflow store."""
    _choice.uri = str(uri)


def get_tracking_uri() -> str:
    """The MLflow store that a run would go to."""
    return settings().tracking_uri


def is_tracking_uri_set() -> bool:
    """True when a script or the environment named a store."""
    return bool(_choice.uri or settings().mlflow_tracking_uri)


def settings() -> Settings:
    """The settings a run would begin with."""
    experiment = _choice.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return Settings.load(mlflow_tracking_uri=_choice.uri, project=experiment)


def set_experiment(
    experiment_name: str | None = None, experiment_id: str | None = None, **ignored: Any
) -> Experiment:
    """Put runs that begin from now on into this experiment, which is W&B's project too."""
    name = experiment_name or experiment_id
    if not name:
        raise UsageError("mlflow.set_experiment needs the experiment's name.")
    _choice.experiment = _named(name)
    return Experiment(name, name)


def get_experiment_by_name(name: str) -> Experiment:
    """The experiment of that name, whether the server has it yet or not."""
    return Experiment(name, name)


def get_experiment(experiment_id: str) -> Experiment:
    """The experiment of that id, which is its name here."""
    return Experiment(_named(experiment_id), experiment_id)


def create_experiment(name: str, artifact_location: str | None = None, tags: Any = None, **ignored: Any) -> str:
    """Return the experiment's id, which is its name here; the courier creates it when the first run is delivered."""
    if artifact_location or tags:
        tell(
            "create_experiment",
            "mlflow.create_experiment: artifact_location and tags have no effect here. Create it with MLflow's own "
            "package first, and runs of that name go there.",
        )
    return name


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Open a run on both tracks and return at once, whatever the network does; it becomes the active one.

    ``run_id`` goes on with a run of this home. Raises UsageError when a run is active and ``nested`` is not True,
    and when there is no such run; TouchlineError when the journal cannot be written.
    """
    current = _active.active()
    if current is not None and not nested:
        raise UsageError(
            f"The run {current.info.run_id} is active. End it with mlflow.end_run(), or begin one in it with "
            "mlflow.start_run(nested=True)."
        )
    if log_system_metrics:
        tell(
            "system", "mlflow.start_run(log_system_metrics=True) has no effect; touchline.watch records the machine."
        )
    chosen = settings()
    if experiment_id is not None:
        chosen = Settings.load(mlflow_tracking_uri=_choice.uri, project=_named(experiment_id))
    run_id = run_id or (os.environ.pop("MLFLOW_RUN_ID", None) or None)
    if is_silent(chosen):
        run_id = None
    if run_id is not None and not (chosen.run_directory(run_id) / FILE_NAME).exists():
        raise UsageError(
            f"There is no run {run_id!r} in {chosen.runs}. Give the id that mlflow.active_run().info.run_id said on "
            "this machine; MLflow's own ids are known to the server only."
        )
    parent = parent_run_id or (current.info.run_id if current is not None else None)
    labels = dict(tags or {})
    name = run_name or labels.pop("mlflow.runName", None)
    run = touchline_start_run(JOB, name=name, settings=chosen, run_id=run_id, parent=parent)
    steps = FreeSteps(run.directory if run_id is not None else None)
    started = ActiveRun(run, name or run.id, chosen.project, parent, steps)
    if description:
        labels[DESCRIPTION] = description
    if labels:
        started.set_tags(labels)
    _active.push(started)
    return started


def end_run(status: Any = None) -> None:
    """End the active run as FINISHED, FAILED or KILLED, and wait a bounded time for its delivery.

    Without ``status`` an exception that is being handled says how the run ended. Raises UsageError on another
    status; nothing happens when no run is active.
    """
    run = _active.active()
    if run is None:
        return
    if status is None:
        _active.close(run, sys.exc_info()[1])
        return
    text = str(getattr(status, "value", status)).upper()
    if text not in _STATUSES:
        raise UsageError(f"A run ends as one of {', '.join(_STATUSES)}, and this is {status!r}.")
    _active.close(run, status=_STATUSES[text])


def active_run() -> ActiveRun | None:
    """The active run of this thread, or None."""
    return _active.active()


def last_active_run() -> ActiveRun | None:
    """The active run of this thread, or the last one it had."""
    return _active.last()


def get_run(run_id: str) -> ActiveRun:
    """A run that this process began. Raises UsageError for another one."""
    run = _active.known(run_id)
    if run is None:
        raise UsageError(
            f"The run {run_id!r} was not begun by this process. Read it with MLflow's own package, "
            "import mlflow as real_mlflow."
        )
    return run


def get_parent_run(run_id: str) -> ActiveRun | None:
    """The parent of a run of this process, or None. Raises UsageError for another one."""
    parent = get_run(run_id).parent
    return None if parent is None else get_run(parent)


def current(run_id: str | None = None) -> ActiveRun:
    """The run that a call speaks of: the one named, the active one, or one that begins now, as MLflow does it."""
    if run_id is not None:
        return get_run(run_id)
    return _active.active() or start_run()


def _named(experiment: str) -> str:
    if str(experiment).isdigit():
        raise UsageError(
            f"The experiment {experiment!r} is a number, which is known to the server only. Give its name, with "
            "mlflow.set_experiment(name)."
        )
    return str(experiment)
