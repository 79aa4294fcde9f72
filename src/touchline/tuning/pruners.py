"""Pruners by name."""

from __future__ import annotations

import optuna

from touchline.errors import unknown

NAMES = ("median", "none")
DEFAULT = "median"


def named(name: str) -> optuna.pruners.BasePruner:
    """The pruner called ``name``; raises UsageError with the nearest name."""
    if name not in NAMES:
        raise unknown("pruner", name, NAMES)
    return optuna.pruners.MedianPruner(n_startup_trials=5) if name == "median" else optuna.pruners.NopPruner()
