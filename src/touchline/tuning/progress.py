"""How far a study is: what its trials came to, what they cost, what is left, and which value matters most."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from touchline.cards import card, line, table
from touchline.tuning.failures import failure_of
from touchline.tuning.sampler import points_left
from touchline.tuning.study import FINISHED, TARGET, WINNER, Study

LEAST_FOR_IMPORTANCE = 4
"""Complete trials below which nothing can be said about importance."""
SECONDS = "seconds"
"""Attribute of a trial: how long its processes worked on it."""
COST = "cost"
"""Attribute of a trial: what its run has cost, by the names of ``touchline.watch.cost``."""


@dataclass(frozen=True)
class Progress:
    """A study at a glance."""

    name: str
    storage: str
    """Without a password."""
    counts: Mapping[str, int]
    """Trials by state, in lower case; ``retried`` are the failed ones from which another trial goes on."""
    finished: int
    target: int | None
    """Finished trials that were asked for last."""
    workers: int
    """Processes of the command that asked."""
    best: FrozenTrial | None
    winner: int | None
    """Number of the trial that was best on other seeds; None before that is known."""
    importance: Mapping[str, float]
    """Share of the values' variation that comes from each field, the greatest first; empty while it is too early."""
    seconds: float
    """Of all processes together."""
    cost: Mapping[str, float]
    """Sums over all finished trials; empty where none had a GPU."""
    seconds_left: float | None
    """Wall clock at the pace so far, None where there is none yet."""
    cost_left: Mapping[str, float]
    """The same share of the cost."""
    failures: tuple[str, ...]
    """A sentence for each trial that failed for good."""


def progress_of(study: Study, target: Mapping[str, Any] | None = None) -> Progress:
    """Look at a study; ``target`` has the ``trials`` and ``workers`` that were asked for last."""
    trials = study.trials()
    counts = {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState}
    lost = [(trial, failure) for trial in trials if (failure := failure_of(trial)) is not None]
    counts["retried"] = counts["fail"] - len(lost)
    counts["fail"] = len(lost)
    done = [trial for trial in trials if trial.state in FINISHED]
    seconds = sum(_seconds(trial) for trial in trials)
    cost: dict[str, float] = {}
    for trial in done:
        for name, value in trial.user_attrs.get(COST, {}).items():
            cost[name] = cost.get(name, 0.0) + float(value)
    goal = None if target is None else int(target["trials"])
    workers = 1 if target is None else int(target["workers"])
    left = 0 if goal is None else max(goal - len(done), 0)
    if (new := points_left(study.setup.space, trials)) is not None:
        left = min(left, new + counts["running"] + counts["waiting"])
    share = left / len(done) if done else None
    return Progress(
        study.name,
        study.storage.shown,
        counts,
        len(done),
        goal,
        workers,
        _best(study),
        study.optuna.user_attrs.get(WINNER),
        _importance(study),
        seconds,
        cost,
        None if share is None or goal is None else seconds * share / workers,
        {} if share is None else {name: value * share for name, value in cost.items()},
        tuple(f"Trial {trial.number}: {failure}" for trial, failure in lost),
    )


def card_of(study: Study) -> str:
    """A study as a notebook shows it: how far it is, the best trial, and each trial's value as a line."""
    told = study.optuna.user_attrs.get(TARGET)
    progress = progress_of(study, told)
    counts = ", ".join(f"{number} {state}" for state, number in progress.counts.items() if number)
    goal = "" if progress.target is None else f" of {progress.target}"
    sentences = [f"{progress.finished}{goal} finished; {counts or 'no trial yet'}", progress.storage]
    if progress.winner is not None:
        sentences.append(f"Winner on other seeds: trial {progress.winner}")
    best = progress.best
    rows = [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value), _percent(progress.importance.get(name)))
        for name, value in (best.params if best is not None else {}).items()
    ]
    values = [(t.number, t.value) for t in study.trials() if t.state in FINISHED and t.value is not None]
    drawn = line(values, f"values of {len(values)} trials")
    head = "" if best is None or best.value is None else f"best: trial {best.number}, {best.value:.6g}"
    return card(
        f"Study {progress.name}",
        sentences,
        table((head, "", ""), [("values by trial", drawn, "")] if drawn else []),
        table(("field", "best", "importance"), rows),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _seconds(trial: FrozenTrial) -> float:
    if SECONDS in trial.user_attrs:
        return float(trial.user_attrs[SECONDS])
    if trial.datetime_start is None or trial.datetime_complete is None:
        return 0.0
    return max((trial.datetime_complete - trial.datetime_start).total_seconds(), 0.0)


def _best(study: Study) -> FrozenTrial | None:
    with contextlib.suppress(ValueError):
        return study.optuna.best_trial
    return None


def _importance(study: Study) -> dict[str, float]:
    complete = [trial for trial in study.trials() if trial.state == TrialState.COMPLETE]
    if len(complete) < LEAST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings(), contextlib.suppress(ImportError, ValueError, RuntimeError):
        warnings.simplefilter("ignore")  # that this evaluator, which needs no further package, is experimental
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study.optuna, evaluator=evaluator)
        total = sum(found.values())
        return {name: value / total for name, value in found.items()} if total > 0 else {}
    return {}
