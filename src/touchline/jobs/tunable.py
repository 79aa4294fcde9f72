"""What can be tuned: a job of the table, or anyone's function by its import path."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import typing
from pathlib import Path
from typing import Any

from touchline.errors import UsageError, unknown
from touchline.jobs.base import JOBS, Job
from touchline.tuning.space import Range, has_field, parse_range

SPECIFIED: tuple[tuple[str, str], ...] = (
    ("actor_lr+critic_lr", "log:1e-5:1e-3"),
    ("batch_size", "128,256,512,1024"),
    ("tau", "0.001:0.01"),
    ("gamma", "0.95:0.999"),
)
"""The space of the specification, by the bare names of the learner's fields."""
LEARNERS = ("sac", "ddpg")
REPORT_EVERY = 10_000
"""Policy transitions between the values that trials of the table's jobs are compared by."""


def find_tunable(word: str) -> Job:
    """The job of the table called ``word``, or a row for ``module:function``, which is looked for here too.

    Such a function is called with (config, run); the annotation of its first parameter is a frozen dataclass whose
    fields all have defaults. Raises UsageError at anything else.
    """
    if ":" not in word:
        if word not in JOBS:
            raise unknown("job", word, JOBS)
        if not JOBS[word].again:
            tunable = " and ".join(job.name for job in JOBS.values() if job.again)
            raise UsageError(
                f"The job {word} has no objective to tune. Those that have one are {tunable}; a function of your "
                "own is named as MODULE:FUNCTION."
            )
        return JOBS[word]
    module, _, name = word.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UsageError(
            f"There is no module {module!r} here. Call touchline in the directory that holds it."
        ) from error
    except AttributeError as error:
        members = inspect.getmembers(importlib.import_module(module), inspect.isfunction)
        functions = [other for other, value in members if value.__module__ == module]
        raise unknown(f"function of {module}", name, functions) from error
    config = _config_of(word, function)
    does = (inspect.getdoc(function) or "a function of one's own").splitlines()[0]
    return Job(name.replace("_", "-"), word, f"{config.__module__}:{config.__qualname__}", does)


def _config_of(word: str, function: Any) -> type[Any]:
    parameters = list(inspect.signature(function).parameters) if callable(function) else []
    hints = typing.get_type_hints(function) if parameters else {}
    config = hints.get(parameters[0]) if len(parameters) == 2 else None
    if not dataclasses.is_dataclass(config) or not isinstance(config, type):
        raise UsageError(
            f"{word} cannot be tuned: it is to be a function of (config, run) whose first parameter is annotated "
            "with a frozen dataclass."
        )
    if not config.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UsageError(
            f"{config.__name__}, the configuration of {word}, is not frozen. Use @dataclass(frozen=True)."
        )
    try:
        config()
    except TypeError as error:
        raise UsageError(f"{config.__name__}, the configuration of {word}, needs defaults: {error}.") from error
    return config


def default_space(config: Any) -> dict[str, Range]:
    """The specified space, as far as ``config`` has its fields; empty where it has none of them."""
    prefix = next((f"{learner}." for learner in LEARNERS if hasattr(config, learner)), "")
    space = {}
    for names, text in SPECIFIED:
        found = [f"{prefix}{name}" for name in names.split("+") if has_field(config, f"{prefix}{name}")]
        if found:
            space["+".join(found)] = parse_range(text)
    return space
