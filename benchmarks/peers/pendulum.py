"""Gymnasium's Pendulum-v1 as pure functions in JAX, actions in ±1. Run, it says how far the two are apart."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

EPISODE_STEPS = 200
_SPEED, _TORQUE, _DT, _GRAVITY = 8.0, 2.0, 0.05, 10.0


class State(NamedTuple):
    """Angle from upright, rad, and its velocity, rad/s."""

    angle: Any
    velocity: Any


def reset(key: Any) -> State:
    """Draw a start as Gymnasium does: angle in ±π, velocity in ±1."""
    angle, velocity = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0) * jnp.array([jnp.pi, 1.0])
    return State(angle, velocity)


def observe(state: State) -> Any:
    """Return cosine and sine of the angle, and the velocity."""
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.velocity])


def step(state: State, action: Any) -> tuple[State, Any]:
    """Return the next state and the reward of an action of shape (1,); mass and length are 1."""
    torque = _TORQUE * jnp.clip(action[0], -1.0, 1.0)
    angle = (state.angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
    cost = angle**2 + 0.1 * state.velocity**2 + 0.001 * torque**2
    pushed = state.velocity + (1.5 * _GRAVITY * jnp.sin(state.angle) + 3.0 * torque) * _DT
    velocity = jnp.clip(pushed, -_SPEED, _SPEED)
    return State(state.angle + velocity * _DT, velocity), -cost


def main(episodes: int = 20) -> None:
    """Play random actions on both from the same starts and print the largest difference of states and rewards.

    In 64 bits: the pendulum is chaotic, and 32 would part two that are equal.
    """
    import gymnasium

    jax.config.update("jax_enable_x64", True)
    random, advance, apart = np.random.default_rng(0), jax.jit(step), 0.0
    for episode in range(episodes):
        env = gymnasium.make("Pendulum-v1", disable_env_checker=True)
        env.reset(seed=episode)
        state = State(*(jnp.asarray(part) for part in env.unwrapped.state))
        for action in random.uniform(-1.0, 1.0, (EPISODE_STEPS, 1)):
            observation, theirs, *_ = env.step(_TORQUE * action)
            state, reward = advance(state, action)
            differences = [*(np.array(state) - env.unwrapped.state), *(observe(state) - observation), reward - theirs]
            apart = max(apart, float(np.abs(differences).max()))
    print(json.dumps({"apart": apart, "steps": episodes * EPISODE_STEPS}))


if __name__ == "__main__":
    main()
