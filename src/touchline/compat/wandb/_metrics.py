"""What ``define_metric`` said: the metric whose value is another one's step, and which way a metric is better."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from touchline.compat.steps import FreeSteps
from touchline.compat.told import tell

GLOBAL_STEP = "global_step"
Goal = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """One call of ``define_metric``."""

    name: str
    """May hold ``*``."""
    step_metric: str | None = None
    goal: Goal | None = None


class Definitions:
    """Tells the step of each metric of a call that gives none."""

    def __init__(self, free: FreeSteps, set_goal: Callable[[str, Goal], None]) -> None:
        self._free = free
        self._set_goal = set_goal
        self._metrics: list[Metric] = []
        self._found: dict[str, Metric | None] = {}
        self._newest: dict[str, Any] = {}

    def define(self, name: str, step_metric: Any, summary: str | None, goal: str | None) -> Metric:
        """Take one definition; a later one of a name wins."""
        if isinstance(step_metric, Metric):
            step_metric = step_metric.name
        metric = Metric(name, step_metric, goal_of(summary, goal))
        self._metrics.insert(0, metric)
        self._found.clear()
        if metric.goal and "*" not in name:
            self._set_goal(name, metric.goal)
        return metric

    def steps(self, numbers: dict[str, Any], step: int, explicit: bool) -> dict[int, dict[str, Any]]:
        """The numbers of one call by their step: that of the call, or what their step metric says.

        A step metric that does not grow gets its metrics the next free step, so that no value is set aside.
        """
        if not self._metrics and GLOBAL_STEP not in numbers:
            return {step: numbers}
        self._newest.update({name: numbers[name] for name in self._axes() if name in numbers})
        by_step: dict[int, dict[str, Any]] = {}
        for name, value in numbers.items():
            metric = self._of(name)
            axis = (metric.step_metric if metric else None) or (GLOBAL_STEP if GLOBAL_STEP in numbers else None)
            place = None if explicit or axis is None else _whole(self._newest.get(axis))
            own = step if place is None else self._free.take(name, place)
            by_step.setdefault(own, {})[name] = value
        return by_step

    def _axes(self) -> set[str]:
        return {GLOBAL_STEP, *(metric.step_metric for metric in self._metrics if metric.step_metric)}

    def _of(self, name: str) -> Metric | None:
        if name not in self._found:
            exact = [metric for metric in self._metrics if metric.name == name]
            globs = [metric for metric in self._metrics if "*" in metric.name and fnmatch.fnmatch(name, metric.name)]
            found = next(iter(exact + globs), None)
            self._found[name] = found
            if found is not None and found.goal and found.name != name:
                self._set_goal(name, found.goal)
        return self._found[name]


def goal_of(summary: str | None, goal: str | None) -> Goal | None:
    """The goal that ``summary`` (``max``, ``min``, ``best``, …, separated by commas) and ``goal`` ask for."""
    wanted = [part.strip().lower() for part in (summary or "").split(",") if part.strip()]
    goals: list[Goal] = []
    if "max" in wanted or ("best" in wanted and goal in (None, "maximize")):
        goals.append("maximize")
    if "min" in wanted or ("best" in wanted and goal == "minimize"):
        goals.append("minimize")
    if len(goals) > 1:
        tell("goals", f"define_metric: a metric has one goal here, so {goals[0]!r} of summary={summary!r} is taken.")
    if unknown := set(wanted) - {"max", "min", "best", "last", "none", "copy"}:
        tell(
            f"summary {unknown}", f"define_metric: summary={', '.join(sorted(unknown))} is not kept; max and min are."
        )
    return goals[0] if goals else None


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
