"""The command line. Each command's options are a frozen dataclass; what is heavy is imported by its command."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from touchline import __version__
from touchline.commands.options import Home
from touchline.config import Settings, overlay, read_toml
from touchline.errors import TouchlineError, UsageError, missing_package, unknown
from touchline.jobs.base import JOBS, Interrupted, find_job
from touchline.redaction import redact_text
from touchline.tracking.exit import listen
from touchline.tuning.recipe import without_lineage

T = TypeVar("T")
KILLED, TERMINATED = 130, 143

listen()


@dataclass(frozen=True)
class RecipesOptions:
    """List the recipes."""


@dataclass(frozen=True)
class Command:
    """One row of the table of commands."""

    usage: str
    does: str
    call: Callable[[list[str]], int]


def _parse(options: type[T], arguments: Sequence[str], prog: str) -> T:
    """Let tyro parse; it prints its own help and errors, with the nearest option, and exits with 0 or 2."""
    parsed: T = tyro.cli(options, args=list(arguments), prog=prog)
    return parsed


def run(arguments: list[str]) -> int:
    """``touchline run JOB``: one job, or all of them as the pipeline."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_run_help())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name.startswith("-"):
        raise UsageError(f"The job comes before its options, and {name!r} came first. Try: touchline run pipeline")
    jobs = tuple(JOBS) if name == "pipeline" else (find_job(name).name,)
    from touchline.recipes import find_recipe

    recipe = find_recipe(_early(rest, "--recipe") or "laptop")
    config: Any = recipe()
    lineage: dict[str, dict[str, str]] = {}
    if (file := _early(rest, "--config")) is not None:
        values, lineage = without_lineage(read_toml(Path(file)))
        config = overlay(config, values, where=file)
    options = _parse(_run_options(config, jobs), rest, f"touchline run {name}")
    changed = {part: getattr(options, part) for part in ("world", "seed", *jobs)}
    config = dataclasses.replace(config, **changed)
    if options.resume is not None and (name == "pipeline" or options.fresh):
        clash = "--fresh" if options.fresh else "the pipeline, which finds its unfinished run by itself"
        raise UsageError(f"--resume {options.resume} does not go with {clash}. Leave one of them out.")
    settings = Settings.load(home=options.home)
    # What does not fit the world or the machine, or names none, is to leave no run behind.
    if "pretrain" in jobs:
        pretrain = dataclasses.replace(config.pretrain, world=config.world)
        pretrain.load_world()
        if pretrain.devices != 1:
            pretrain.prepare_devices(settings)
    elif config.world != "soccer":
        from touchline.jobs.worlds import load_world

        load_world(config.world)
    named = options.resume and _run_id(settings, options.resume)
    settings.ensure_home()

    from touchline.jobs.checkpoints import Resume
    from touchline.jobs.run import found_by, run_named
    from touchline.jobs.summary import program

    resume = Resume(options.fresh, named, options.allow_changes)
    # Given again after a stop, --fresh would start over once more.
    again = shlex.join([program(), "run", *(argument for argument in arguments if argument != "--fresh")])
    run_named(name, config, settings, options.recipe, again, resume, found_by(lineage))
    return 0


def _run_id(settings: Settings, word: str) -> str:
    """Id of the run to go on with; one that is not in the home may have its checkpoints elsewhere."""
    from touchline.tracking.find import find_run

    try:
        return find_run(settings, word)
    except UsageError:
        if settings.checkpoints is None:
            raise
        return word


def _run_options(config: Any, jobs: Sequence[str]) -> type[Any]:
    """Build the options of ``touchline run``: the shared ones and, with the recipe's defaults, each job's."""
    shared: list[tuple[str, Any, Any]] = [
        ("recipe", Annotated[str, tyro.conf.arg(help="Where the defaults come from: touchline recipes")], "laptop"),
        (
            "config",
            Annotated[Path | None, tyro.conf.arg(metavar="FILE", help="TOML file laid over the recipe.")],
            None,
        ),
        (
            "world",
            Annotated[str, tyro.conf.arg(help="soccer, or FILE.py or FILE.py:NAME for a world of your own.")],
            config.world,
        ),
        ("seed", Annotated[int, tyro.conf.arg(help="Added to the seed of every job.")], config.seed),
        (
            "fresh",
            Annotated[bool, tyro.conf.arg(help="Start over, although there is an unfinished run.")],
            False,
        ),
        (
            "resume",
            Annotated[str | None, tyro.conf.arg(metavar="RUN", help="Go on with this run: an id, or last.")],
            None,
        ),
        (
            "allow_changes",
            Annotated[bool, tyro.conf.arg(help="Go on from a checkpoint that another configuration or code made.")],
            False,
        ),
        ("home", Home, None),
    ]
    own = [(job, type(getattr(config, job)), getattr(config, job)) for job in jobs]
    fields = [(name, hint, dataclasses.field(default=value)) for name, hint, value in (*shared, *own)]
    does = JOBS[jobs[0]].does if len(jobs) == 1 else "every job, one after the other"
    return dataclasses.make_dataclass(
        "RunOptions", fields, frozen=True, namespace={"__doc__": f"{does[0].upper()}{does[1:]}."}
    )


def _early(arguments: Sequence[str], option: str) -> str | None:
    """Find an option that decides what the other options are."""
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


def _run_help() -> str:
    jobs = "\n".join(f"  {job.name:<10}{job.does}" for job in JOBS.values())
    return (
        "usage: touchline run JOB [--recipe NAME] [--config FILE] [--seed N] [--fresh] [--JOB.OPTION VALUE ...]\n\n"
        f"jobs:\n  {'pipeline':<10}all of these, in this order\n{jobs}\n\n"
        "A job's options: touchline run JOB --help\n"
        "Example:         touchline run pipeline --recipe laptop --pretrain.seed 3"
    )


def recipes(arguments: list[str]) -> int:
    """``touchline recipes``."""
    _parse(RecipesOptions, arguments, "touchline recipes")
    from touchline.recipes import RECIPES

    for name, recipe in RECIPES.items():
        print(f"{name:<13}{(recipe.__doc__ or '').splitlines()[0]}")
    return 0


def _of(module: str, name: str) -> Callable[[list[str]], int]:
    """A command of ``touchline.commands``, imported when it is called."""

    def call(arguments: list[str]) -> int:
        code: int = getattr(importlib.import_module(f"touchline.commands.{module}"), name)(arguments)
        return code

    return call


COMMANDS = {
    "run": Command("run JOB [options]", "run a job, or the whole pipeline", run),
    "runs": Command("runs", "list the runs of the home", _of("status", "runs")),
    "show": Command("show RUN [METRIC...]", "show a run's curves, parameters and alerts", _of("show", "show")),
    "report": Command("report PIPELINE|RUN", "write a run or a pipeline as one page", _of("report", "report")),
    "tail": Command("tail RUN [-f]", "show a run's last events, and what follows", _of("tail", "tail")),
    "status": Command("status [RUN...]", "show what each sink has of each run", _of("status", "status")),
    "watch": Command("watch [--once]", "watch the GPUs and the running runs, live", _of("watch", "watch")),
    "sync": Command("sync [RUN...] [--watch]", "send what the sinks have not received yet", _of("sync", "sync")),
    "export": Command("export RUN", "write a run as csv, parquet or jsonl", _of("export", "export")),
    "import": Command(
        "import TRACK DIR|URI", "bring in runs of wandb, mlflow, tensorboard", _of("import_runs", "import_runs")
    ),
    "checkpoints": Command(
        "checkpoints COMMAND RUN", "list, verify, prune or export checkpoints", _of("checkpoints", "checkpoints")
    ),
    "film": Command("film MODEL [--worst]", "film a policy's episodes, or the worst of many", _of("film", "film")),
    "evaluate": Command(
        "evaluate MODEL", "score a policy with intervals, against others", _of("evaluate", "evaluate")
    ),
    "champion": Command("champion [NAME]", "show the champion and its history", _of("champion", "champion")),
    "promote": Command("promote RUN", "promote what a gate's run has passed", _of("champion", "promote")),
    "rollback": Command(
        "rollback NAME --reason X", "make the previous champion champion again", _of("champion", "rollback")
    ),
    "gc": Command("gc [--days N]", "remove old runs that are delivered everywhere", _of("gc", "gc")),
    "tune": Command("tune JOB [options]", "tune a job: a study of many short trainings", _of("tune", "tune")),
    "deploy": Command(
        "deploy databricks DIR", "write the jobs as a bundle for Databricks, and check it", _of("deploy", "deploy")
    ),
    "ui": Command("ui [--port N]", "open the runs in a browser, live, beside MLflow and others", _of("ui", "ui")),
    "doctor": Command("doctor [--json]", "check the machine and say what is missing", _of("doctor", "doctor")),
    "lineage": Command("lineage NAME@ALIAS", "show where a registered model comes from", _of("lineage", "lineage")),
    "compare": Command("compare MODEL MODEL", "show versions side by side", _of("compare", "compare")),
    "recipes": Command("recipes", "list the recipes", recipes),
}


def _help() -> str:
    commands = "\n".join(f"  {command.usage:<25}{command.does}" for command in COMMANDS.values())
    return (
        "usage: touchline COMMAND [options]\n\n"
        "Stands beside a training loop: records, watches, judges, and never gets in its way.\n\n"
        f"commands:\n{commands}\n\n"
        "options:\n  -h, --help               show this help, or a command's: touchline COMMAND --help\n"
        "  --version                show the version"
    )


def guarded(call: Callable[[], int]) -> int:
    """Call, tell an error in a sentence on stderr, and return the exit code.

    0 is success, 1 an error, 2 wrong usage, 130 Ctrl-C, 143 a stop by SIGTERM.
    """
    try:
        return call()
    except Interrupted as error:
        _complain(error)
        return {"preempted": TERMINATED, "budget": 1}.get(error.reason or "", KILLED)
    except TouchlineError as error:
        _complain(error)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("touchline: Interrupted.", file=sys.stderr)
        return KILLED
    except ModuleNotFoundError as error:
        if (told := missing_package(error)) is None:
            raise
        print(f"touchline: {told}", file=sys.stderr)
        return 1
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _complain(f"{error}. Free the disk or mend the path, then repeat the command.")
            return 1
        # Whoever read our output has gone; Python would complain again while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _complain(problem: object) -> None:
    print(f"touchline: {redact_text(str(problem))}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to a command; returns the exit code, see ``guarded``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _flushed(_dispatch(given)))


def _flushed(code: int) -> int:
    """Let a reader that has gone be noticed here, not while Python exits."""
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"touchline {__version__}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown("command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]].call(arguments[1:])
