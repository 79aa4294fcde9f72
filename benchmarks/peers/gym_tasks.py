"""The tasks of `sac_learning.py`, and the returns of a deterministic policy on them, the same for every learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

EVALUATION_SEED = 1_000_000
"""No training comes near it."""
EPISODES = 20

Act = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Observations (b, n) → actions (b, m) in ±1."""


def make(task: str) -> gymnasium.Env[Any, Any]:
    """Make an environment whose actions are in ±1."""
    env = gymnasium.make(task)
    return gymnasium.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))


def returns(task: str, act: Act, episodes: int = EPISODES) -> list[float]:
    """Play episodes side by side, the same starts for every policy, and return their undiscounted returns."""
    envs = [make(task) for _ in range(episodes)]
    observations = [env.reset(seed=EVALUATION_SEED + i)[0] for i, env in enumerate(envs)]
    totals, playing = [0.0] * episodes, set(range(episodes))
    while playing:
        actions = np.asarray(act(np.asarray(observations, np.float32)))
        for i in sorted(playing):
            observations[i], reward, terminated, truncated, _ = envs[i].step(actions[i])
            totals[i] += float(reward)
            if terminated or truncated:
                playing.discard(i)
    return totals
