"""The synthetic environment of `sac_speed.py`: 87 observations, 12 actions, and dynamics that cost next to nothing.

The same arithmetic serves JAX and NumPy, so that every learner has it in the form it likes best: pure functions, a
Gymnasium vector environment, and the arrays for a peer's own classes. The observation decays and is pushed by the
action; the reward is for staying small and lazy; an episode lasts 1,000 steps and only time ends it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

OBSERVATIONS = 87
ACTIONS = 12
EPISODE_STEPS = 1_000
START = 0.5
"""Standard deviation of the first observation."""

MIX = np.random.default_rng(0).normal(0.0, ACTIONS**-0.5, (ACTIONS, OBSERVATIONS)).astype(np.float32)
"""How actions push observations."""


class Transition(NamedTuple):
    """What a step of one environment, or of many, gives."""

    observation: Any
    reward: Any


def move(observation: Any, action: Any) -> Transition:
    """Step observations (…, 87) with actions (…, 12), of NumPy or of JAX."""
    following = 0.9 * observation + 0.1 * (action @ MIX)
    return Transition(following, 1.0 - (following**2).mean(axis=-1) - 0.01 * (action**2).mean(axis=-1))


class State(NamedTuple):
    """One environment, for JAX."""

    key: Any
    observation: Any
    steps: Any


def reset(key: Any) -> State:
    """Return an environment at its start; ``key`` is JAX's."""
    import jax
    import jax.numpy as jnp

    key, draw = jax.random.split(key)
    return State(key, START * jax.random.normal(draw, (OBSERVATIONS,)), jnp.zeros((), jnp.int32))


def step(state: State, action: Any) -> tuple[State, Any, Any]:
    """Return (state, reward, whether time ended the episode); the caller resets."""
    observation, reward = move(state.observation, action)
    steps = state.steps + 1
    return State(state.key, observation, steps), reward, steps >= EPISODE_STEPS
