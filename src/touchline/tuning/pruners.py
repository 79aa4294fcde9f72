"""Pruners by name: Optuna's own, and ours; ``docs/tuning-pruners.md`` compares them."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from touchline.errors import unknown
from touchline.tuning.rungs import RungPruner

REPORT_EVERY = 10_000
"""Policy transitions between the reports of a trial."""

_MADE: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "rungs": RungPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5),
    "aggressive": lambda: optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=5_000, interval_steps=5_000),
    "asha": optuna.pruners.SuccessiveHalvingPruner,
    # From the first report on: from step 1, as Optuna would, most brackets prune at that report and nowhere else.
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=REPORT_EVERY),
    "none": optuna.pruners.NopPruner,
}

NAMES = tuple(_MADE)
DEFAULT = "rungs"


def named(name: str) -> optuna.pruners.BasePruner:
    """Return a new pruner; raises UsageError with the nearest name when there is none such."""
    if name not in _MADE:
        raise unknown("pruner", name, NAMES)
    return _MADE[name]()
