"""Our pruner: a trial must be among the better ones when half, and when three quarters of its training are over."""

from __future__ import annotations

import math

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class RungPruner(optuna.pruners.BasePruner):
    """Prunes at rungs, as successive halving does, but late, few times, and by the best value so far.

    A trial is asked when it crosses a rung, a share of the length of the longest complete trial. It goes on if its
    best value until then is among the best ``keep`` of all trials that came so far, pruned ones too; those that
    failed do not count. Ties go on. Where fewer than ``at_least`` others came so far, and before a trial is complete,
    all go on.

    As in ASHA (Li et al. 2020, arXiv 1810.05934) nobody waits for others, and nothing is kept but the trials'
    reports: any number of processes, each with a pruner of its own, come to the same answer.
    """

    def __init__(self, shares: tuple[float, ...] = (1 / 2, 3 / 4), keep: float = 0.5, at_least: int = 4) -> None:
        self._shares, self._keep, self._at_least = shares, keep, at_least

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether ``trial`` is to end at its last report."""
        step = trial.last_step
        trials = study.get_trials(deepcopy=False, states=_COUNTED)
        lengths = [other.last_step or 0 for other in trials if other.state == TrialState.COMPLETE]
        if step is None or not lengths:
            return False
        before = max((earlier for earlier in trial.intermediate_values if earlier < step), default=-1)
        if not any(before < share * max(lengths) <= step for share in self._shares):
            return False
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        mine = _best(trial, step, sign)
        others = [
            _best(other, step, sign)
            for other in trials
            if other.number != trial.number and (other.last_step or 0) >= step
        ]
        if len(others) < self._at_least:
            return False
        better = sum(other > mine for other in others)
        return better >= self._keep * (len(others) + 1)


def _best(trial: FrozenTrial, step: int, sign: float) -> float:
    """The best value until ``step``, higher being better; nan counts as the worst."""
    values = [sign * value for at, value in trial.intermediate_values.items() if at <= step]
    return max((value for value in values if not math.isnan(value)), default=-np.inf)
