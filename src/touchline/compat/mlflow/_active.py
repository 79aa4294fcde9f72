"""Runs as MLflow's interface shows them, and which one is active in a thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from touchline.compat.endings import end
from touchline.compat.last import kept
from touchline.compat.steps import FreeSteps
from touchline.compat.told import tell
from touchline.tracking import run as tracking


@dataclass
class RunInfo:
    """What is known of a run in this process."""

    run_id: str
    """Touchline's id; MLflow's run carries it as the tag ``touchline.run_id``."""
    run_name: str
    experiment_id: str
    """The experiment's name: its number is known to the server only."""
    artifact_uri: str
    """Where the run's files are kept until they are delivered."""
    start_time: int
    """Milliseconds since the epoch."""
    status: str = "RUNNING"
    end_time: int | None = None
    user_id: str = ""
    lifecycle_stage: str = "active"

    @property
    def run_uuid(self) -> str:
        """The run's id under its old name."""
        return self.run_id


@dataclass
class RunData:
    """What this process has logged: the last value of each metric, the params and the tags, as text."""

    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class ActiveRun:
    """A run; leaving its ``with`` block ends it."""

    def __init__(self, run: tracking.Run, name: str, experiment: str, parent: str | None, steps: FreeSteps) -> None:
        self.touchline = run
        """The Touchline run beneath, for what MLflow's interface has no call for."""
        self.parent = parent
        """Id of the run that this one is nested in."""
        self.info = RunInfo(
            run_id=run.id,
            run_name=name,
            experiment_id=experiment,
            artifact_uri=(run.directory / "media" / "artifacts").as_uri(),
            start_time=int(time.time() * 1000),
        )
        self.data = RunData()
        self._steps = steps
        self._tables: dict[str, tuple[list[str], list[list[Any]]]] = {}

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Record numbers at ``step``; without one each goes to the next free step of its metric."""
        if step is None:
            by_step: dict[int, dict[str, Any]] = {}
            for name, value in metrics.items():
                by_step.setdefault(self._steps.take(name), {})[name] = value
        else:
            by_step = {int(step): dict(metrics)}
            for name in metrics:
                self._steps.note(name, int(step))
        for at, values in by_step.items():
            self.touchline.log(values, at)
        self.data.metrics.update({name: kept(value) for name, value in metrics.items()})

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters as text; one that has another value already keeps it, which is told once."""
        new = {}
        for name, value in params.items():
            text = str(value)
            known = self.data.params.get(name)
            if known is None:
                new[name] = value if isinstance(value, bool | int | float | str) else text
                self.data.params[name] = text
            elif known != text:
                tell(
                    f"param {name}",
                    f"mlflow.log_param: {name!r} is {known!r} and cannot become {text!r}: MLflow's params do not "
                    "change. Log it under another name, or as a tag.",
                )
        if new:
            self.touchline.log_params(new)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Record tags as text; a later value replaces an earlier one."""
        self.touchline.set_tags(tags)
        self.data.tags.update({str(name): str(value) for name, value in tags.items()})

    def log_table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """Record a table; rows for one that was recorded before are added to it, and the whole is recorded anew."""
        known = self._tables.get(name)
        if known is not None and known[0] == columns:
            rows = known[1] + rows
        self._tables[name] = (columns, rows)
        self.touchline.log_table(name, columns, rows, step=self._steps.take(f"table {name}"))

    def to_dictionary(self) -> dict[str, Any]:
        """``info`` and ``data`` as mappings."""
        return {"info": dict(vars(self.info)), "data": json.loads(json.dumps(vars(self.data), default=str))}

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close(self, error)


class _Stack(threading.local):
    def __init__(self) -> None:
        self.runs: list[ActiveRun] = []


_stack = _Stack()
_known: dict[str, ActiveRun] = {}
_last = threading.local()


def push(run: ActiveRun) -> None:
    """Make a run the active one of this thread."""
    _stack.runs.append(run)
    _known[run.info.run_id] = run
    _last.run = run


def active() -> ActiveRun | None:
    """The active run of this thread, or None."""
    return _stack.runs[-1] if _stack.runs else None


def last() -> ActiveRun | None:
    """The active run of this thread, or the last one it had."""
    return active() or getattr(_last, "run", None)


def known(run_id: str) -> ActiveRun | None:
    """A run that this process began, by its id."""
    return _known.get(run_id)


def close(
    run: ActiveRun,
    error: BaseException | None = None,
    status: tracking.Status | None = None,
) -> None:
    """End a run with ``status``, or as the exception says, and take it from the stack."""
    if run in _stack.runs:
        _stack.runs.remove(run)
    if run.info.end_time is not None:
        return
    if status is None:
        status = end(run.touchline, error)
    else:
        run.touchline.finish(status)
    run.info.end_time = int(time.time() * 1000)
    run.info.status = "KILLED" if status in ("preempted", "pruned") else status.upper()
