"""The end of a study: its best trials are evaluated on other seeds, and the best of these becomes a recipe."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from touchline.config import Settings, plain
from touchline.errors import TouchlineError
from touchline.filesystem import whole_file
from touchline.jobs.summary import command
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.run import Run
from touchline.tuning.recipe import recipe_text
from touchline.tuning.space import configured, has_field
from touchline.tuning.study import FINALIST, RUN, WINNER, Study
from touchline.tuning.supervisor import Child, Stop

if TYPE_CHECKING:
    from touchline.jobs.tune import TuneConfig

CLAIM = "touchline.finalists_by"
"""Attribute of a study: which supervisor evaluates the finalists."""
CLAIM_SECONDS = 3_600.0
"""A supervisor of another machine that has not named a winner for so long is taken for gone."""


@dataclass(frozen=True)
class Winner:
    """The trial that did best on seeds that chose nothing."""

    number: int
    value: float
    """On the study's seeds, from which it was chosen."""
    again: float | None
    """On other seeds; None where nothing could be evaluated again."""
    recipe: Path
    """The TOML file with its configuration."""
    command: str
    """What a person types to train with it; empty for a function of one's own."""


def name_winner(
    study: Study,
    child: Child,
    tuned: TuneConfig,
    settings: Settings,
    directory: Path,
    run: Run | None,
    tell: Callable[[str], None],
    stop: Stop,
) -> Winner | None:
    """Evaluate the best trials on other seeds and write the winner's recipe into ``directory``.

    None when nothing is complete, when a stop was asked for, and while another supervisor does it. Raises
    TouchlineError when an evaluation fails.
    """
    complete = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    sign = 1.0 if study.setup.direction == "maximize" else -1.0
    finalists = sorted(complete, key=lambda trial: (-sign * (trial.value or 0.0), trial.number))[: tuned.finalists]
    if not finalists:
        tell("No trial is complete, so there is no winner.")
        return None
    if not _claim(study):
        tell("Another supervisor evaluates the finalists.")
        return None
    again: dict[int, float] = {}
    if tuned.job.again or has_field(tuned.config, "seed"):
        tell(f"Evaluated on other seeds: {', '.join(f'trial {t.number}' for t in finalists)}")
        _evaluate(study, child, finalists, tuned.workers, stop)
        if stop.requested:
            return None
        again = {t.number: value for t in finalists if (value := _again(study, t)) is not None}
    else:
        tell("Nothing can be evaluated on other seeds: the configuration has no field `seed`.")
    best = max(finalists, key=lambda trial: sign * again.get(trial.number, trial.value or 0.0))
    recipe = directory / "winner.toml"
    use = command("run", tuned.section, "--config", recipe, settings=settings) if tuned.section else ""
    winner = Winner(best.number, float(best.value or 0.0), again.get(best.number), recipe, use)
    _write(study, tuned, best, winner)
    study.optuna.set_user_attr(WINNER, best.number)
    if run is not None:
        rows = [[t.number, t.value, again.get(t.number), t.number == best.number] for t in finalists]
        run.log_table("finalists", ["trial", "study seeds", "other seeds", "winner"], rows)
        told = {"winner": best.number, "winner_value": winner.value, "winner_run": best.user_attrs.get(RUN, "")}
        run.set_summary(told if winner.again is None else {**told, "winner_again": winner.again})
        run.log_artifact(winner.recipe)
    for trial in finalists:
        there = f", {again[trial.number]:g} on the others" if trial.number in again else ""
        tell(f"Trial {trial.number}: {trial.value:g} on the study's seeds{there}")
    return winner


def _claim(study: Study) -> bool:
    with study.locked():
        held = study.optuna.user_attrs.get(CLAIM)
        if held is not None:
            owner = ProcessIdentity.from_mapping(held["process"])
            is_mine = owner == ProcessIdentity.current()
            at_work = owner.is_alive() if owner.is_local() else time.time() - held["time"] < CLAIM_SECONDS
            if at_work and not is_mine and not held.get("done"):
                return False
        claim = {"process": ProcessIdentity.current().to_mapping(), "time": time.time()}
        study.optuna.set_user_attr(CLAIM, claim)
        return True


def _again(study: Study, trial: FrozenTrial) -> float | None:
    value = study.optuna.user_attrs.get(f"{FINALIST}{trial.number}")
    return None if value is None else float(value)


def _evaluate(study: Study, child: Child, finalists: list[FrozenTrial], workers: int, stop: Stop) -> None:
    """Run one process for each finalist that was not evaluated yet, ``workers`` at a time."""
    waiting = [trial for trial in finalists if _again(study, trial) is None]
    running: dict[int, subprocess.Popen[bytes]] = {}
    try:
        while (waiting or running) and not stop.requested:
            while waiting and len(running) < workers:
                trial = waiting.pop(0)
                running[trial.number] = child.start("finalist", trial.number, again=True)
            for number, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[number]
                if process.returncode:
                    raise TouchlineError(
                        f"Trial {number} could not be evaluated on other seeds (exit code {process.returncode}). Its "
                        f"log is {child.log('finalist', number)}. Mend the cause and repeat the command."
                    )
            stop.wait(0.05)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30.0)
            process.kill()
            process.wait()


def _write(study: Study, tuned: TuneConfig, best: FrozenTrial, winner: Winner) -> None:
    values = plain(configured(tuned.config, best.params))
    lineage = {
        "study": study.name,
        "storage": study.storage.shown,
        "trial": best.number,
        "run": best.user_attrs.get(RUN, ""),
        "value": winner.value,
    }
    if winner.again is not None:
        lineage["value_on_other_seeds"] = winner.again
    how = f"Train with it: {winner.command}" if winner.command else ""
    head = f"Trial {best.number}, the winner of the study {study.name} of touchline tune.\n{how}".rstrip()
    whole = {tuned.section: values} if tuned.section else values
    if tuned.section and "world" in values:
        whole = {"world": values["world"], **whole}
    winner.recipe.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(winner.recipe) as file:
        file.write(recipe_text(whole, {tuned.section or tuned.job.name: lineage}, head).encode())
