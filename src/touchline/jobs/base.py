"""What a job is, the table of all jobs, and how a job learns that it should stop."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from touchline.errors import TouchlineError, unknown

SLOW_DELIVERY_SECONDS = 1_800.0
"""How long a job waits for MLflow where there is no trouble but a crowded machine."""


@dataclass(frozen=True)
class JobResult:
    """What a job hands to the summary and to whoever resumes the pipeline; JSON values only."""

    summary: Mapping[str, Any] = field(default_factory=dict)
    """Figures by name, nested mappings allowed."""
    sentences: tuple[str, ...] = ()
    """What a person should read about it."""
    objective: float | None = None
    """What tuning makes as high as it can; None: what the job has reported last."""


@dataclass(frozen=True)
class Job:
    """One row of the table: where a job's function and its frozen configuration live."""

    name: str
    """Name on the command line, in tags and in the summary."""
    function: str
    """``module:function``, called with (config, run) and returning a JobResult."""
    config: str
    """``module:dataclass`` of its configuration; importing the module must be cheap."""
    does: str
    """What it does, in a few words."""
    again: str = ""
    """``module:function``, called with (config, run id, settings): evaluates what a run of the job handed on, on
    seeds that nothing was chosen by, and returns the objective. Empty: finalists train again with other seeds."""

    def load(self) -> Callable[[Any, Any], JobResult]:
        """Import and return the job's function."""
        return _load(self.function)  # type: ignore[no-any-return]

    def load_again(self) -> Callable[[Any, str, Any], float]:
        """Import and return the function that evaluates what a run handed on."""
        return _load(self.again)  # type: ignore[no-any-return]

    def config_class(self) -> type[Any]:
        """Import and return the class of the job's configuration."""
        return _load(self.config)  # type: ignore[no-any-return]


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _job(name: str, does: str, again: str = "") -> Job:
    module = f"touchline.jobs.{name}"
    return Job(name, f"{module}:{name}", f"{module}:{name.capitalize()}Config", does, again)


_AGAIN = "touchline.jobs.finalists"
JOBS: Mapping[str, Job] = MappingProxyType(
    {
        job.name: job
        for job in (
            _job("setup", "checks machine, packages, renderer and connections"),
            _job("pretrain", "learns with SAC on many soccer environments at once", f"{_AGAIN}:pretrained"),
            _job("convert", "turns the JAX actor into PyTorch and proves them equal"),
            _job("finetune", "goes on with DDPG in the official environment", f"{_AGAIN}:finetuned"),
            _job("gate3", "judges the candidate against the champion and promotes it or not"),
            _job("submit", "packs what the competition takes and tries it"),
        )
    }
)


def find_job(name: str, jobs: Mapping[str, Job] = JOBS) -> Job:
    """Return the named job; raises UsageError with the nearest name."""
    if name not in jobs:
        raise unknown("job", name, (*jobs, "pipeline"))
    return jobs[name]


class Interrupted(TouchlineError):
    """A job stopped at a boundary because it was asked to; its work so far is saved."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        """``interrupted`` by a person, ``preempted`` by the machine's owner, or ``budget``: it is spent."""


class Stop(Protocol):
    """Who knows whether the running job should stop; ``checkpoint.preemption.StopSignal`` does."""

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""

    @property
    def reason(self) -> str | None:
        """``interrupted`` (Ctrl-C), ``preempted`` (SIGTERM, a cloud's notice), or None while nobody asked."""

    @property
    def told(self) -> str | None:
        """The sentence that explains it, or None: a signal explains nothing."""


_stop: ContextVar[Stop | None] = ContextVar("stop", default=None)


def stop_requested() -> bool:
    """Whether somebody (Ctrl-C, the machine's owner) asked the running job to stop at its next boundary."""
    stop = _stop.get()
    return stop is not None and stop.requested


def raise_if_stopped(where: str) -> None:
    """Raise Interrupted when a stop was requested; ``where`` completes "Stopped …", as in "after 4,096 steps"."""
    stop = _stop.get()
    if stop is not None and stop.requested:
        asked = f", as asked. {stop.told}" if stop.told else ", as asked."
        raise Interrupted(f"Stopped {where}{asked}", stop.reason)


@contextlib.contextmanager
def stopping_with(stop: Stop) -> Iterator[None]:
    """Let ``stop`` answer ``stop_requested()`` while the context lasts, in this thread."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)
