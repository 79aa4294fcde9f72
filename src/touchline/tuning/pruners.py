"""Pruners by name: Optuna's own, and ours; ``docs/tuning-pruners.md`` compares them."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from touchline.errors import unknown
from touchline.tuning.rungs import RungPruner

_MADE: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {
    "rungs": lambda every: RungPruner(),
    "median": lambda every: optuna.pruners.MedianPruner(n_startup_trials=5),
    # The specification's 5,000 steps, where reports come every 10,000: half a report.
    "aggressive": lambda every: optuna.pruners.MedianPruner(
        n_startup_trials=3, n_warmup_steps=every // 2, interval_steps=max(every // 2, 1)
    ),
    "asha": lambda every: optuna.pruners.SuccessiveHalvingPruner(),
    # From the first report on: from step 1, as Optuna would, most brackets prune at that report and nowhere else.
    "hyperband": lambda every: optuna.pruners.HyperbandPruner(min_resource=every),
    "none": lambda every: optuna.pruners.NopPruner(),
}

NAMES = tuple(_MADE)
DEFAULT = "rungs"


def named(name: str, report_every: int) -> optuna.pruners.BasePruner:
    """Return a new pruner for trials that report every so many steps.

    Raises UsageError with the nearest name when there is none such.
    """
    if name not in _MADE:
        raise unknown("pruner", name, NAMES)
    return _MADE[name](report_every)
