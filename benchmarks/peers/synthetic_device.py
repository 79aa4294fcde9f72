"""The synthetic environment as functions on the device, in the form of ``MjxWorld``."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import synthetic
from gymnasium.vector import AutoresetMode
from synthetic_gym import spaces


class Step(NamedTuple):
    """What a step of every environment gave."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    final_observation: Any


class SyntheticFunctions:
    """Steps every environment; those that ended begin anew in the same step."""

    def step(self, state: synthetic.State, action: Any) -> tuple[synthetic.State, Any]:
        """Return the state after actions (num_envs, 12), and what happened."""
        after, reward, ended = jax.vmap(synthetic.step)(state, action)
        begun = jax.vmap(synthetic.reset)(after.key)
        following = jax.tree.map(lambda new, old: jax.vmap(jnp.where)(ended, new, old), begun, after)
        return following, Step(
            observation=following.observation,
            reward=reward,
            terminated=jnp.zeros_like(ended),
            truncated=ended,
            final_observation=after.observation,
        )


class SyntheticDeviceEnv(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """Holds the functions and where they stand."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.functions = SyntheticFunctions()
        self.single_observation_space, self.single_action_space = spaces()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin every episode anew."""
        self.state = jax.jit(jax.vmap(synthetic.reset))(jax.random.split(jax.random.key(seed or 0), self.num_envs))
        return np.asarray(self.state.observation), {}

    def info(self, step: Step) -> dict[str, Any]:
        """Return the ``info`` of a step: nothing."""
        return {}
