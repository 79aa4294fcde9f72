"""The synthetic environment as a Gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from synthetic import ACTIONS, EPISODE_STEPS, OBSERVATIONS, START, move


def spaces() -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Return the spaces of one environment's observations and actions."""
    return (
        gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32),
    )


class SyntheticVectorEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """All environments in one array; same-step auto-reset."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._never = np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin every episode anew."""
        self._random = np.random.default_rng(seed)
        self._steps = 0
        self._observation = self._draw()
        return self._observation, {}

    def _draw(self) -> NDArray[np.float32]:
        return START * self._random.standard_normal((self.num_envs, OBSERVATIONS), np.float32)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step every environment; all of them end at the same time."""
        self._observation, reward = move(self._observation, actions)
        self._steps += 1
        if self._steps < EPISODE_STEPS:
            return self._observation, reward, self._never, self._never, {}
        final = np.empty(self.num_envs, object)
        final[:] = list(self._observation)
        self._steps, self._observation = 0, self._draw()
        return self._observation, reward, self._never, ~self._never, {"final_obs": final}
