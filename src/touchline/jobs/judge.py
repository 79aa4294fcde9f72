"""Policies judged in a world's target environments: scores over scenarios, paired between policies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from touchline.jobs.worlds import load_world, target_environment
from touchline.learning.evaluate import Evaluator
from touchline.learning.policy import Policy
from touchline.simulation.scenario import Scenario


@dataclass(frozen=True)
class Judged:
    """What a policy reached; arrays have one value a scenario of the task, in the order they were given."""

    scores: dict[str, NDArray[np.float64]]
    """The score by task: in soccer the competition's."""
    returns: dict[str, NDArray[np.float64]]
    """The dense return by task; in soccer never called a score."""
    physics_steps: dict[str, NDArray[np.float64]]
    """Physics steps survived by task."""

    @property
    def mean_score(self) -> float:
        """Mean over tasks of the mean score."""
        return float(np.mean([scores.mean() for scores in self.scores.values()]))

    @property
    def mean_return(self) -> float:
        """Mean over tasks of the mean dense return."""
        return float(np.mean([returns.mean() for returns in self.returns.values()]))

    @property
    def mean_physics_steps(self) -> float:
        """Mean over tasks of the mean survival."""
        return float(np.mean([steps.mean() for steps in self.physics_steps.values()]))


class Judge:
    """Evaluates policies on every task of a world over kept processes; a context manager."""

    def __init__(self, processes: int, world: str = "soccer") -> None:
        """``world`` is what a configuration calls it, see ``load_world``."""
        self._reference, self._world = world, load_world(world)
        self._evaluator = Evaluator(processes)

    def evaluate(
        self,
        policy: Policy,
        scenarios: Iterable[Scenario],
        boundary: Callable[[str], None] = lambda where: None,
    ) -> Judged:
        """Run one episode a scenario, task by task.

        The policy acts through its deployed file, and as its metadata says. ``boundary`` is called before each task,
        and may raise to stop.
        """
        from touchline.jobs.deployment import deployed

        policy = deployed(policy)
        scenarios = list(scenarios)
        judged = Judged({}, {}, {})
        for task in self._world.tasks:
            boundary(f"before {task}")
            make = functools.partial(target_environment, self._reference, task)
            here = [one for one in scenarios if one.task == task]
            options = [self._world.reset_options(policy.metadata, one) for one in here]
            episodes = self._evaluator.evaluate(make, policy, [one.seed for one in here], options=options)
            judged.scores[task] = np.array([episode.info["score"] for episode in episodes])
            judged.returns[task] = np.array([episode.return_ for episode in episodes])
            judged.physics_steps[task] = np.array([episode.info["physics_steps"] for episode in episodes])
        return judged

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._evaluator.close()
