"""Evaluate a policy over one episode of every environment in a vector: many seeds in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from touchline.learning.progress import EpisodeStatistics


@dataclass(frozen=True)
class Outcome:
    """One finished episode of each environment."""

    returns: NDArray[np.float64]
    """Undiscounted sums of rewards, shape (num_envs,)."""
    lengths: NDArray[np.int64]
    """Policy steps, shape (num_envs,)."""
    survived: NDArray[np.bool_]
    """Whether the episode ran into its time limit, shape (num_envs,)."""
    statistics: EpisodeStatistics
    """The same episodes, with what their environment tells of them."""

    @property
    def figures(self) -> dict[str, float]:
        """The means: ``return``, ``survival_share``, ``episode_length``, ``fall_share`` and the world's outcomes."""
        return _as_evaluation(self.statistics.summary())

    @property
    def metrics(self) -> dict[str, float]:
        """The figures, and where there are several tasks those of each, as ``TASK/fall_share``."""
        tasks = self.statistics.by_task()
        each = {
            f"{task}/{name}": value for task, of_it in tasks.items() for name, value in _as_evaluation(of_it).items()
        }
        return self.figures | (each if len(tasks) > 1 else {})

    def interval(self) -> tuple[float, float, float]:
        """Return mean, lower and upper bound of the 95 % interval of the mean return (Student's t)."""
        from scipy import stats

        mean, n = float(self.returns.mean()), len(self.returns)
        half = float(stats.t.ppf(0.975, n - 1) * self.returns.std(ddof=1) / np.sqrt(n))
        return mean, mean - half, mean + half


def _as_evaluation(summary: dict[str, float]) -> dict[str, float]:
    names = {"episode_reward": "return", "time_out_share": "survival_share"}
    return {names.get(name, name): value for name, value in summary.items()}


def evaluate_vector(
    envs: gymnasium.vector.VectorEnv[Any, Any, Any],
    policy: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    seed: int,
) -> Outcome:
    """Run ``policy`` (observations (n, o) → actions (n, a)) until every environment has ended once."""
    observation, _ = envs.reset(seed=seed)
    returns, lengths = np.zeros(envs.num_envs), np.zeros(envs.num_envs, dtype=np.int64)
    statistics = EpisodeStatistics(envs.num_envs, window=envs.num_envs)
    running, survived = np.ones(envs.num_envs, dtype=bool), np.zeros(envs.num_envs, dtype=bool)
    while running.any():
        observation, reward, terminated, truncated, info = envs.step(policy(observation))
        statistics.add(reward, running & terminated, running & truncated, info)
        returns += np.where(running, reward, 0.0)
        lengths += running
        survived |= running & truncated & ~terminated
        running &= ~(terminated | truncated)
    return Outcome(returns, lengths, survived, statistics)
