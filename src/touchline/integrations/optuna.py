"""Optuna, for a study of one's own: a callback that records every trial into a run.

    study.optimize(objective, n_trials=100, callbacks=[TouchlineCallback(run)])

``touchline tune`` is the other way: there each trial is a process and a run.
"""

from __future__ import annotations

from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from touchline.tracking.run import Run


class TouchlineCallback:
    """Logs each trial that ends at its number as step: value, best value so far, seconds and parameters.

    A metric is a number: of a parameter with a choice that is none the index of the choice is logged, from 0, and the
    run's parameter ``choices/PARAMETER`` lists the choices.

    The run's summary holds the best trial, and how many were completed, pruned and failed by this process. May be
    called from the threads of ``n_jobs``; of a study with several objectives there is a value each and no best one.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._counts: dict[TrialState, int] = {}
        self._is_described = False
        self._chosen: set[str] = set()

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Record one trial."""
        if not self._is_described:
            self._is_described = True
            directions = ", ".join(direction.name.lower() for direction in study.directions)
            self._run.log_params(
                {"study": study.study_name, "direction": directions, "sampler": _name(study.sampler)}
            )
        if new := {name: kind for name, kind in _by_index(trial).items() if name not in self._chosen}:
            self._chosen.update(new)
            self._run.log_params({f"choices/{name}": _listed(kind) for name, kind in new.items()})
        self._run.log(_numbers(trial) | self._best(study), trial.number)
        self._counts[trial.state] = self._counts.get(trial.state, 0) + 1
        self._run.set_summary({f"trials/{state.name.lower()}": count for state, count in self._counts.items()})

    def _best(self, study: Study) -> dict[str, float]:
        if len(study.directions) > 1:
            return {}
        try:
            best = study.best_trial
        except ValueError:  # none is complete
            return {}
        named = {f"best/{name}": value for name, value in best.params.items()}
        self._run.set_summary({**named, "best/number": best.number, "best/value": best.value})
        return {"trial/best_value": float(best.value or 0.0)}


def _numbers(trial: FrozenTrial) -> dict[str, float]:
    values = list(trial.values or ())
    found = {"trial/value": values[0]} if len(values) == 1 else {f"trial/value_{i}": v for i, v in enumerate(values)}
    if trial.duration is not None:
        found["trial/seconds"] = trial.duration.total_seconds()
    kinds = _by_index(trial)
    # Optuna's own representation of a choice is its index.
    numeric = {name: kinds[name].to_internal_repr(v) if name in kinds else v for name, v in trial.params.items()}
    return {**{_metric(name): float(value) for name, value in numeric.items()}, **found}


def _by_index(trial: FrozenTrial) -> dict[str, CategoricalDistribution]:
    """The parameters that have a choice which is no number."""
    return {
        name: kind
        for name, kind in trial.distributions.items()
        if isinstance(kind, CategoricalDistribution) and not all(isinstance(one, int | float) for one in kind.choices)
    }


def _listed(kind: CategoricalDistribution) -> str:
    return ", ".join(f"{index} = {choice!r}" for index, choice in enumerate(kind.choices))


def _metric(parameter: str) -> str:
    """The metric of a parameter, which may be called as a figure of the trial is."""
    is_ours = parameter in ("value", "best_value", "seconds") or parameter.startswith("value_")
    return f"trial/parameter_{parameter}" if is_ours else f"trial/{parameter}"


def _name(node: Any) -> str:
    return type(node).__name__
