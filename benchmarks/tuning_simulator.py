"""Studies played from real trainings: Optuna's own sampler and pruner ask, a kept learning curve answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState
from tuning_surrogate import BATCH_SIZES, SEEDS, Point

REPORT_EVERY = 10_000
"""Policy transitions that one report stands for: recipes in absolute steps mean those of the real jobs."""
FINALISTS = 3
FINALISTS_COST = 20
"""Reports that three times 128 episodes of 100 steps are worth; a report costs 16 such and 400 steps of training."""
SPACE = {
    "lr": FloatDistribution(1e-5, 1e-3, log=True),
    "batch_size": CategoricalDistribution(BATCH_SIZES),
    "tau": FloatDistribution(0.001, 0.01),
    "gamma": FloatDistribution(0.95, 0.999),
}


@dataclass(frozen=True)
class Surrogate:
    """The kept trainings; a suggestion is answered by one of the nearest configuration."""

    places: NDArray[np.float64]
    """In the unit cube, shape (configurations, 4)."""
    curves: NDArray[np.float64]
    """Reported returns, shape (configurations, seeds, reports); NaN from where a training failed."""
    finalist: NDArray[np.float64]
    """Return of the training's best policy on the finalists' episodes, shape (configurations, seeds)."""
    truth: NDArray[np.float64]
    """Mean over seeds of the return on yet other episodes, shape (configurations,)."""

    @classmethod
    def load(cls, path: Path) -> Surrogate:
        """Read the configurations whose trainings were all made."""
        kept = json.loads(path.read_text())
        trainings = [
            (Point(**point), [kept[f"training/{number}/{seed}"] for seed in range(SEEDS)])
            for number, point in enumerate(kept["points"])
            if f"training/{number}/{SEEDS - 1}" in kept
        ]
        reports = max(len(one["curve"]) for _, seeds in trainings for one in seeds)
        worst = min(value for _, seeds in trainings for one in seeds for value in one["curve"])
        return cls(
            places=np.array([point.place for point, _ in trainings]),
            curves=np.array(
                [[one["curve"] + [np.nan] * (reports - len(one["curve"])) for one in seeds] for _, seeds in trainings]
            ),
            finalist=np.array([[one.get("finalist", worst) for one in seeds] for _, seeds in trainings]),
            truth=np.array([np.mean([one.get("truth", worst) for one in seeds]) for _, seeds in trainings]),
        )

    @property
    def reports(self) -> int:
        """Reports of a training that is not pruned."""
        return self.curves.shape[2]

    @property
    def regret(self) -> NDArray[np.float64]:
        """What each configuration's truth lacks to the best one's, shape (configurations,)."""
        return self.truth.max() - self.truth

    @property
    def span(self) -> float:
        """From the mean return of what has hardly learned, at the first report, to the best configuration's."""
        return float(self.truth.max() - np.nanmean(self.curves[:, :, 0]))

    def nearest(self, params: dict[str, Any]) -> int:
        """The configuration nearest to a suggestion."""
        return int(((self.places - Point(**params).place) ** 2).sum(axis=1).argmin())


@dataclass(frozen=True)
class Recipe:
    """How to search: what a study is opened with."""

    pruner: Callable[[], optuna.pruners.BasePruner]
    sampler: Callable[[int], optuna.samplers.BaseSampler] = lambda seed: optuna.samplers.TPESampler(seed=seed)
    finalists: bool = False
    """Whether the best three play other episodes before one is named; their cost is in the budget."""


@dataclass
class Running:
    """A trial on its way."""

    trial: Trial
    configuration: int
    seed: int
    reported: int = 0


@dataclass(frozen=True)
class Played:
    """What became of a study."""

    winner: int
    """The configuration that it names."""
    trials: int
    complete: int
    """Trials that were not pruned."""


def play(surrogate: Surrogate, recipe: Recipe, seed: int, budget: int, workers: int = 1) -> Played:
    """Play one study until ``budget`` reports were made.

    Workers take turns, a report each. Where no trial was completed, the one that was ahead wins.
    """
    study = optuna.create_study(
        study_name=str(seed), direction="maximize", sampler=recipe.sampler(seed), pruner=recipe.pruner()
    )
    rng = np.random.default_rng(seed)
    of: dict[int, tuple[int, int]] = {}
    running: list[Running] = []
    for _ in range(budget - FINALISTS_COST * recipe.finalists):
        if len(running) < workers:
            trial = study.ask(SPACE)
            running.append(Running(trial, surrogate.nearest(trial.params), int(rng.integers(SEEDS))))
            of[trial.number] = running[-1].configuration, running[-1].seed
        one = running.pop(0)
        curve = surrogate.curves[one.configuration, one.seed]
        if np.isnan(curve[one.reported]):
            study.tell(one.trial, state=TrialState.FAIL)
            continue
        one.trial.report(curve[one.reported], (one.reported + 1) * REPORT_EVERY)
        one.reported += 1
        if one.trial.should_prune():
            study.tell(one.trial, state=TrialState.PRUNED)
        elif one.reported == surrogate.reports:
            study.tell(one.trial, curve.max())
        else:
            running.append(one)
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    ranked = sorted(complete or trials, key=_value, reverse=True)
    best = ranked[0]
    if recipe.finalists:
        best = max(ranked[:FINALISTS], key=lambda trial: surrogate.finalist[of[trial.number]])
    return Played(of[best.number][0], len(trials), len(complete))


def _value(trial: FrozenTrial) -> float:
    return trial.value if trial.value is not None else max(trial.intermediate_values.values(), default=-np.inf)
