"""The replay memory of learners in JAX: raw transitions in the order of time, drawn with any number of steps.

The buffer is flashbax's: one row an environment, a ring along time. Drawing several neighbouring steps instead of one
costs a wider gather and nothing else, so the number of steps is a matter of drawing, not of storing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import flashbax
import jax
import jax.numpy as jnp

from touchline.learning.sac import Batch
from touchline.learning.sac_config import SacConfig


class Transition(NamedTuple):
    """One policy step of every environment; arrays have num_envs rows."""

    observation: Any
    action: Any
    reward: Any
    next_observation: Any
    """What the action led to, also where the episode ended there."""
    terminated: Any
    """1.0 where the episode truly ended."""
    truncated: Any
    """1.0 where only its time ran out."""
    valid: Any
    """0.0 where the step did nothing but begin an episode."""


@dataclass(frozen=True)
class Memory:
    """Pure functions over the state of a buffer."""

    num_envs: int
    capacity: int
    """Transitions it holds, over all environments."""
    n_step: int
    """Policy steps of a drawn transition."""
    batch_size: int
    gamma: float
    """Discount a policy step."""

    @classmethod
    def of(cls, config: SacConfig, num_envs: int) -> Memory:
        """Return the memory that a training of this configuration has."""
        return cls(num_envs, config.replay_size, config.n_step, config.batch_size, config.gamma)

    def _buffer(self, draws: int) -> Any:
        return flashbax.make_trajectory_buffer(
            add_batch_size=self.num_envs,
            sample_batch_size=draws,
            sample_sequence_length=self.n_step,
            period=1,
            min_length_time_axis=self.n_step,
            max_length_time_axis=max(self.capacity // self.num_envs, self.n_step + 1),
        )

    def init(self, observation_size: int, action_size: int) -> Any:
        """Return the state of an empty buffer."""
        number = jnp.zeros(())
        observation, action = jnp.zeros(observation_size), jnp.zeros(action_size)
        return self._buffer(1).init(Transition(observation, action, number, observation, number, number, number))

    def add(self, state: Any, transition: Transition) -> Any:
        """Append one step of every environment."""
        rows = jax.tree.map(lambda part: jnp.asarray(part, jnp.float32)[:, None], transition)
        return self._buffer(1).add(state, rows)

    def draw(self, state: Any, key: Any, batches: int) -> Batch:
        """Return batches drawn at random, arrays of shape (batches, batch_size, …); needs n_step steps in it."""
        steps: Transition = self._buffer(batches * self.batch_size).sample(state, key).experience
        batch = n_step_returns(steps, self.gamma)
        shape = (batches, self.batch_size)
        return jax.tree.map(lambda part: part.reshape(shape + part.shape[1:]), batch)


def n_step_returns(steps: Transition, gamma: float) -> Batch:
    """Make one transition of neighbouring steps, arrays of shape (b, n, …); it stops where an episode ended."""
    length = steps.reward.shape[1]
    if length == 1:
        observation, action, reward, following, terminated, _, valid = (part[:, 0] for part in steps)
        return Batch(observation, action, reward, following, gamma * (1.0 - terminated), valid)
    ended = jnp.maximum(steps.terminated, steps.truncated)
    # Whether the episode still runs when each step begins: it runs at the first.
    running = jnp.cumprod(jnp.concatenate([jnp.ones_like(ended[:, :1]), 1.0 - ended[:, :-1]], axis=1), axis=1)
    discounts = gamma ** jnp.arange(length)
    last = running.sum(axis=1).astype(jnp.int32) - 1
    rows = jnp.arange(len(last))
    return Batch(
        observation=steps.observation[:, 0],
        action=steps.action[:, 0],
        reward=(running * discounts * steps.reward).sum(axis=1),
        next_observation=steps.next_observation[rows, last],
        discount=gamma ** (last + 1) * (1.0 - steps.terminated[rows, last]),
        weight=steps.valid[:, 0],
    )
