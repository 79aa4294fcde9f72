"""``touchline tune``: a study of a job from its first trial to the recipe of its winner."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from touchline.config import Settings, digest, plain
from touchline.errors import TouchlineError
from touchline.jobs.base import Interrupted, Job
from touchline.jobs.checkpoints import training_config
from touchline.jobs.history import TRIAL_OF
from touchline.jobs.progress import terminal
from touchline.jobs.winner import Winner, name_winner
from touchline.tracking.events import slug
from touchline.tracking.journal import FILE_NAME
from touchline.tracking.run import Run
from touchline.tracking.start import start_run
from touchline.tuning.failures import Failure
from touchline.tuning.space import TOGETHER, check_space, texts
from touchline.tuning.storage import StudyStorage
from touchline.tuning.study import FINISHED, TARGET, Setup, Study, open_study
from touchline.tuning.supervisor import Child, Stop, Supervisor

STUDY_RUN = "touchline.run"
"""Attribute of a study: id of its own run, parent and group of its trials' runs, and the home that records it."""
PROCESS = (sys.executable, "-m", "touchline.jobs.trial_process")


@dataclass(frozen=True)
class TuneConfig:
    """What is tuned, and how."""

    job: Job
    config: Any
    """The base configuration, a frozen dataclass; the space's values are laid over it."""
    setup: Setup
    name: str | None = None
    """Of the study; None: from the job, the base configuration and the space."""
    trials: int = 50
    """Finished ones, complete or pruned, that the study is to have."""
    workers: int = 1
    """Processes at work at a time on this machine."""
    finalists: int = 3
    """The best ones, which are evaluated on other seeds before a winner is named; 0: none, and no winner."""
    section: str = ""
    """Table of the pipeline's configuration that the winner's recipe fills; empty: the file holds the job's alone."""


@dataclass(frozen=True)
class TuneOutcome:
    """How a study stands when its command is through."""

    study: str
    trials: Mapping[str, int]
    """How many there are of each state, by its name."""
    winner: Winner | None


def study_name(job: Job, config: Any, setup: Setup) -> str:
    """The study's name where nobody gave one: of the same job, configuration and space it is the same."""
    told = {"job": job.function, "config": training_config(config), "space": texts(setup.space)}
    return f"{slug(job.name)}-{digest(told)[:8]}"


def tune(tuned: TuneConfig, settings: Settings, storage: StudyStorage, stop: Stop) -> TuneOutcome:
    """Work on the study until it has ``trials`` finished ones; then evaluate the finalists and write the winner.

    Raises Interrupted when a stop was asked for: trials that ran are put back with what they saved, and the same
    command goes on. Raises TouchlineError when trials fail for one reason, again and again.
    """
    check_space(tuned.setup.space, tuned.config)
    storage = storage.absolute()
    name = tuned.name or study_name(tuned.job, tuned.config, tuned.setup)
    console = terminal()
    about = {"job": tuned.job.function, "config": digest(training_config(tuned.config))}
    study, _ = open_study(storage, name, dataclasses.replace(tuned.setup, about=about))
    run_id, is_ours = _run_of(study, settings)
    study.optuna.set_user_attr(TARGET, {"trials": tuned.trials, "workers": tuned.workers})
    console.print(f"Study [bold]{name}[/] in {storage.shown}, sampler seed {study.seed}")
    if found := study.finished():
        console.print(f"  It has {_trials(found)}; the goal is {tuned.trials}.")
    run = _study_run(study, tuned, settings, run_id) if is_ours else None
    places = settings.home / "studies" / run_id
    child = Child(PROCESS, _order(tuned, settings, storage, study, run_id), places, _environment())

    def tell(text: str) -> None:
        console.print(f"  {text}", markup=False)

    supervisor = Supervisor(
        study,
        child,
        trials=tuned.trials,
        workers=tuned.workers,
        tell=tell,
        ended=lambda trial: _record(run, study, trial),
    )
    try:
        with storage.telling():
            row = supervisor.run(stop)
        if row:
            raise TouchlineError(_explain(name, row, places))
        _stop_here(stop, study)
        winner = name_winner(study, child, tuned, settings, places, run, tell, stop) if tuned.finalists else None
        _stop_here(stop, study)
    except BaseException as error:
        _finish(run, error)
        raise
    _finish(run, None)
    counts = study.counts()
    return TuneOutcome(name, {state.name.lower(): number for state, number in counts.items()}, winner)


def _run_of(study: Study, settings: Settings) -> tuple[str, bool]:
    """Id of the study's run, that of no other study of that name, and whether it is recorded in this home."""
    here = f"{socket.gethostname()}:{settings.home}"
    with study.locked():
        known = study.optuna.user_attrs.get(STUDY_RUN)
        if known is None:
            known = {"id": f"{slug(study.name)[:80]}-{secrets.token_hex(2)}", "home": here}
            study.optuna.set_user_attr(STUDY_RUN, known)
    run_id = str(known["id"])
    return run_id, known["home"] == here or (settings.run_directory(run_id) / FILE_NAME).exists()


def _order(tuned: TuneConfig, settings: Settings, storage: StudyStorage, study: Study, run_id: str) -> dict[str, Any]:
    return {
        "settings": plain(settings),
        "storage": storage.url,
        "study": study.name,
        "run": run_id,
        "job": dataclasses.asdict(tuned.job),
        "config": plain(tuned.config),
    }


def _environment() -> dict[str, str]:
    """Ours, with the directory in which an import path was found."""
    paths = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _study_run(study: Study, tuned: TuneConfig, settings: Settings, run_id: str) -> Run | None:
    """The study's own run; None where another supervisor of this home has it."""
    # MLflow's names of parameters take no plus sign.
    space = {name.replace(TOGETHER, " "): text for name, text in texts(study.setup.space).items()}
    params = {"study": study.name, "trials": tuned.trials, **space}
    for name in ("direction", "pruner", "sampler", "report_every"):
        params[name] = getattr(study.setup, name)
    try:
        return start_run(
            "tune", run_id=run_id, config=params, tags={TRIAL_OF: run_id}, settings=settings, group=run_id
        )
    except TouchlineError:
        return None


def _record(run: Run | None, study: Study, trial: FrozenTrial) -> None:
    """Draw the study's curve: for each trial that is finished a point at its number."""
    if run is None or trial.state not in FINISHED:
        return
    trials = study.trials()
    values: dict[str, float] = {
        f"study/{state.name.lower()}": sum(each.state == state for each in trials) for state in TrialState
    }
    with contextlib.suppress(ValueError):  # before the first complete trial there is no best one
        values["study/best"] = study.optuna.best_value
    if trial.value is not None:
        values["study/value"] = trial.value
    run.log(values, trial.number)  # of two that end together each has a step of its own


def _stop_here(stop: Stop, study: Study) -> None:
    if stop.requested:
        raise Interrupted(
            f"Stopped with {_trials(study.finished())}; those that ran are put back with what they saved.",
            stop.reason,
        )


def _explain(name: str, row: tuple[Failure, ...], logs: Path) -> str:
    return (
        f"The study {name} was stopped: its last {len(row)} trials failed in the same way. {row[0]} Their logs are "
        f"in {logs}. Mend the cause, or narrow the space, and repeat the command."
    )


def _trials(number: int) -> str:
    return f"{number} finished trial{'s' * (number != 1)}"


def _finish(run: Run | None, error: BaseException | None) -> None:
    if run is None:
        return
    with contextlib.suppress(TouchlineError):
        if error is None:
            run.finish("finished", timeout=10.0)
        elif isinstance(error, Interrupted | KeyboardInterrupt):
            preempted = isinstance(error, Interrupted) and error.reason == "preempted"
            run.finish("preempted" if preempted else "killed", timeout=2.0, reason=str(error))
        else:
            run.finish("failed", timeout=10.0, reason=str(error))
