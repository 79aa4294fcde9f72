"""Which checkpoints stay: the newest, one in so many steps, the best; never none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from touchline.errors import UsageError

Goal = Literal["max", "min"]


@dataclass(frozen=True)
class Retention:
    """A rule of which checkpoints stay."""

    keep_last: int = 2
    """Newest ones."""
    keep_every: int | None = None
    """Beside them the first one of each so many steps; None: no such ones."""
    best_metric: str | None = None
    """Beside them the best by this metric, as it was given with the checkpoint."""
    best_goal: Goal = "max"
    """Whether a high or a low value is good."""
    keep_best: int = 1
    """How many of the best."""

    def __post_init__(self) -> None:
        if self.keep_last < 1:
            raise UsageError(f"A store keeps at least 1 checkpoint, not {self.keep_last}. Use keep_last=2.")
        if self.keep_every is not None and self.keep_every < 1:
            raise UsageError(f"keep_every is {self.keep_every}; give a number of steps above 0, or None.")
        if self.best_goal not in ("max", "min"):
            raise UsageError(f"best_goal is {self.best_goal!r}; it is 'max' or 'min'.")
        if self.keep_best < 1:
            raise UsageError(f"keep_best is {self.keep_best}; give at least 1, or leave best_metric out.")


@dataclass(frozen=True)
class Entry:
    """A checkpoint that lies in a store, as its manifest tells of it."""

    name: str
    """Of its directory."""
    step: int
    metrics: Mapping[str, float]


def kept(rule: Retention, entries: Sequence[Entry]) -> dict[str, str]:
    """Return which of the intact ``entries`` stay: name → why, one of ``newest``, ``every`` and ``best``.

    ``entries`` are in the order of their age, oldest first. At least one stays when there is one.
    """
    reasons: dict[str, str] = {}
    if rule.best_metric is not None:
        for entry in best(rule, entries)[: rule.keep_best]:
            reasons[entry.name] = "best"
    if rule.keep_every is not None:
        reached = -1
        for entry in entries:
            if (multiple := entry.step // rule.keep_every) > reached:
                reached = multiple
                reasons.setdefault(entry.name, "every")
    for entry in entries[-rule.keep_last :]:
        reasons.setdefault(entry.name, "newest")
    return reasons


def best(rule: Retention, entries: Sequence[Entry]) -> list[Entry]:
    """The entries that have the metric as a number, the best first; of equal ones the newer first."""
    name = rule.best_metric or ""
    known = [entry for entry in reversed(entries) if math.isfinite(entry.metrics.get(name, math.nan))]
    return sorted(known, key=lambda entry: entry.metrics[name], reverse=rule.best_goal == "max")
