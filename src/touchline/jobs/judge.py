"""Policies judged in a world's target environments: scores over scenarios, paired between policies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from touchline.jobs.worlds import load_world, target_environment
from touchline.learning.evaluate import Episode, Evaluator
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
    episodes: dict[str, tuple[Episode, ...]]
    """The episodes themselves by task."""

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

    @property
    def metrics(self) -> dict[str, float]:
        """What a training logs of it: means over the tasks, and those of each task as ``TASK/fall_share``."""
        tasks = {
            task: {
                "score": float(self.scores[task].mean()),
                "dense_return": float(self.returns[task].mean()),
                "physics_steps": float(self.physics_steps[task].mean()),
                **outcome_means(episodes),
            }
            for task, episodes in self.episodes.items()
        }
        common = set.intersection(*(set(figures) for figures in tasks.values()))
        whole = {name: float(np.mean([each[name] for each in tasks.values()])) for name in sorted(common)}
        each = {f"{task}/{name}": value for task, figures in tasks.items() for name, value in figures.items()}
        return whole | (each if len(tasks) > 1 else {})


def below(path: str, episode: Episode) -> dict[str, float]:
    """Return what stands below ``path`` in the last info of an episode, by name."""
    return {name.removeprefix(path): value for name, value in episode.info.items() if name.startswith(path)}


def outcomes_of(episode: Episode) -> dict[str, float]:
    """Return the world's outcomes of an episode, truths as bool; ``fall`` is among them, see ``World.outcomes``."""
    return {"fall": episode.terminated, **below("outcomes/", episode)}


def outcome_means(episodes: Sequence[Episode]) -> dict[str, float]:
    """Return the mean of every outcome, truths as ``fall_share``, numbers as ``distance``."""
    told = [outcomes_of(episode) for episode in episodes]
    return {
        f"{name}_share" if isinstance(value, bool) else name: float(np.mean([each[name] for each in told]))
        for name, value in (told[0].items() if told else ())
    }


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
        on_episode: Callable[[Episode], None] = lambda episode: None,
    ) -> Judged:
        """Run one episode a scenario, task by task; tasks without a scenario are left out.

        The policy acts through its deployed file, and as its metadata says. ``boundary`` is called before each task
        and after each episode, and may raise to stop. ``on_episode`` is told of every episode.
        """
        from touchline.jobs.deployment import deployed

        policy = deployed(policy)
        scenarios = list(scenarios)
        judged = Judged({}, {}, {}, {})
        for task in self._world.tasks:
            here = [one for one in scenarios if one.task == task]
            if not here:
                continue
            boundary(f"before {task}")
            make = functools.partial(target_environment, self._reference, task)
            options = [self._world.reset_options(policy.metadata, one) for one in here]

            def told(episode: Episode, task: str = task) -> None:
                on_episode(episode)
                boundary(f"after an episode of {task}")

            seeds = [one.seed for one in here]
            episodes = self._evaluator.evaluate(make, policy, seeds, options=options, on_episode=told)
            judged.episodes[task] = tuple(episodes)
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
