"""``touchline tune``: a study of a job, and what became of studies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from touchline.commands.options import Home, parse
from touchline.config import Settings, overlay, read_toml
from touchline.errors import UsageError, at_least
from touchline.tuning.recipe import without_lineage

Repeated = tyro.conf.UseAppendAction[tuple[str, ...]]


@dataclass(frozen=True)
class TuneOptions:
    """Tune a job: many short trainings, the bad ones given up early; the same command goes on after a stop.

    JOB is pretrain, finetune, any other job, or the import path MODULE:FUNCTION of a function of (config, run) of
    your own. Also: touchline tune status, touchline tune show.
    """

    job: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="JOB", help_behavior_hint="")]
    trials: int = 50
    """Trials the study is to have that are complete or pruned."""
    workers: int = 1
    """Trials at a time on this machine."""
    storage: Annotated[
        str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: optuna.db in the home)")
    ] = None
    """sqlite:///FILE, or postgresql://USER@HOST/DATABASE, where the same command on another machine joins."""
    study: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: from what is tuned)")
    ] = None
    """Name of the study."""
    space: Annotated[Repeated, tyro.conf.arg(metavar="NAME=RANGE", help_behavior_hint="(repeatable)")] = ()
    """A field of the job's configuration and its range: log:1e-5:1e-3, 0.95:0.999, int:1:8, or 128,256,512."""
    space_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """TOML file of such names and ranges."""
    recipe: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: laptop; not of an import path)")
    ] = None
    """Where the values of what is not tuned come from: touchline recipes"""
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """TOML file laid over the recipe; of an import path, over its configuration's defaults."""
    set: Annotated[Repeated, tyro.conf.arg(metavar="NAME=VALUE", help_behavior_hint="(repeatable)")] = ()
    """A field of the job's configuration that every trial has so."""
    pruner: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the measured one)")] = (
        None
    )
    """What gives up bad trials: rungs, median, aggressive, asha, hyperband or none."""
    sampler: str = "tpe"
    """What suggests values: tpe or random."""
    report_every: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: 10,000; of an import path 1)")
    ] = None
    """Steps between the values by which trials are compared."""
    finalists: int = 3
    """Best trials that are evaluated on other seeds before a winner is named; 0 names none."""
    minimize: bool = False
    """The lower the better."""
    home: Home = None

    def __post_init__(self) -> None:
        if self.study == "":
            raise UsageError("The study's name is empty. Leave --study out, or give it a name.")
        at_least(1, self, "trials", "workers")
        at_least(0, self, "finalists")
        if self.report_every is not None:
            at_least(1, self, "report_every")


def tune(arguments: list[str]) -> int:
    """``touchline tune JOB``, ``touchline tune status`` and ``touchline tune show``."""
    if arguments[:1] == ["status"]:
        from touchline.commands.tune_status import status

        return status(arguments[1:])
    if arguments[:1] == ["show"]:
        from touchline.commands.tune_status import show

        return show(arguments[1:])
    options = parse(TuneOptions, arguments, "tune")
    settings = Settings.load(home=options.home)
    tuned = _tuned(options)

    from touchline.checkpoint.preemption import StopSignal
    from touchline.jobs.tune import tune as run_study
    from touchline.tuning.storage import StudyStorage, default_url

    storage = StudyStorage(options.storage or default_url(settings.home))
    settings.ensure_home()
    with StopSignal(settings.preemption) as stop, storage.telling():
        outcome = run_study(tuned, settings, storage, stop)
    told = ", ".join(f"{number} {state}" for state, number in sorted(outcome.trials.items()))
    print(f"Study {outcome.study}: {told}.")
    if outcome.winner is not None:
        print(f"Winner: trial {outcome.winner.number}, {outcome.winner.recipe}")
        if outcome.winner.command:
            print(f"Train with it: {outcome.winner.command}")
    return 0


def _tuned(options: TuneOptions) -> Any:
    """What the options ask for; raises UsageError where one does not fit."""
    import optuna

    from touchline.jobs.tunable import REPORT_EVERY, default_space, find_tunable
    from touchline.jobs.tune import TuneConfig
    from touchline.tuning import pruners
    from touchline.tuning.space import TOGETHER, check_space, configured, parse_space, read_space
    from touchline.tuning.study import Setup

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    job = find_tunable(options.job)
    is_ours = ":" not in options.job
    if not is_ours and options.recipe is not None:
        raise UsageError(
            f"The recipe {options.recipe!r} has no values for {options.job}. Give them with --config FILE or --set."
        )
    config = _of_recipe(options, job.name) if is_ours else job.config_class()()
    if options.config is not None and not is_ours:
        config = overlay(config, without_lineage(read_toml(options.config))[0], where=str(options.config))
    for line in options.set:
        name, given, value = line.partition("=")
        if not given:
            raise UsageError(f"{line!r} is no NAME=VALUE. Give one such as total_steps=100000.")
        config = configured(config, {name.strip(): value.strip()})
    space = read_space(options.space_file) if options.space_file is not None else {}
    if options.space_file is not None and not space:
        raise UsageError(f"{options.space_file} names no field. Give one and its range, or leave --space-file out.")
    space |= parse_space(options.space)
    space = space or default_space(config)
    check_space(space, config)
    tuned = {field for name in space for field in name.split(TOGETHER)}
    if both := sorted(tuned & {line.partition("=")[0].strip() for line in options.set}):
        raise UsageError(f"{both[0]} is tuned, and --set gives it a value. Leave one of them out.")
    setup = Setup(
        space,
        direction="minimize" if options.minimize else "maximize",
        pruner=options.pruner or pruners.DEFAULT,
        sampler=options.sampler,
        report_every=options.report_every or (REPORT_EVERY if is_ours else 1),
    )
    return TuneConfig(
        job,
        config,
        setup,
        name=options.study,
        trials=options.trials,
        workers=options.workers,
        finalists=options.finalists,
        section=job.name if is_ours else "",
    )


def _of_recipe(options: TuneOptions, name: str) -> Any:
    """The job's configuration in the recipe, as ``touchline run`` has it."""
    from touchline.jobs.pipeline import job_config
    from touchline.recipes import find_recipe

    whole: Any = find_recipe(options.recipe or "laptop")()
    if options.config is not None:
        whole = overlay(whole, without_lineage(read_toml(options.config))[0], where=str(options.config))
    return job_config(whole, name)
