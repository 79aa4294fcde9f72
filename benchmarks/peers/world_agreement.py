"""How far MJX and native are apart: ``apart ITERATIONS LINE_SEARCH``, or ``returns … TRANSITIONS`` of one policy."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from touchline.jax_guard import prepare
from touchline.simulation.native import NativeWorld
from touchline.soccer.control import stand_still
from touchline.soccer.observation import LAYOUT
from touchline.soccer.world import SoccerWorld

EPISODES = 128


def apart(iterations: int, ls_iterations: int) -> dict[str, float]:
    """Largest difference of each quantity of the observation, and of the reward, over 50 policy steps."""
    from touchline.simulation.mjx import MjxWorld

    world, n = SoccerWorld(controller=stand_still()), 6
    rng, tasks = np.random.default_rng(0), np.arange(n) % 3
    options = {"start": world.start(rng.random((n, world.uniforms)), tasks, np), "tasks": tasks}
    device, host = MjxWorld(world, n, iterations=iterations, ls_iterations=ls_iterations), NativeWorld(world, n)
    seen = [np.abs(host.reset(seed=1, options=options)[0] - device.reset(seed=1, options=options)[0])]
    rewards = []
    for _ in range(50):
        action = rng.uniform(-0.2, 0.2, (n, 12)).astype(np.float32)
        mine, other = host.step(action), device.step(action)
        seen.append(np.abs(mine[0] - other[0]))
        rewards.append(np.abs(mine[1] - other[1]))
    worst = np.array(seen).max(axis=(0, 1))
    return {name: float(worst[part].max()) for name, part in LAYOUT.items()} | {"reward": float(np.max(rewards))}


def returns(iterations: int, ls_iterations: int, transitions: int) -> dict[str, Any]:
    """Mean return, with its 95 % interval, on each backend of a policy trained on native."""
    from touchline.learning import sac, sac_train
    from touchline.learning.evaluate_vector import evaluate_vector
    from touchline.learning.sac_config import SacConfig
    from touchline.simulation.mjx import MjxWorld

    world = SoccerWorld()
    envs = NativeWorld(world, 128)
    for progress in sac_train.train(envs, SacConfig(warmup_steps=1_000), total_steps=transitions, seed=0):
        last = progress.state
    policy = sac.to_policy(last, {})
    device = MjxWorld(world, EPISODES, iterations=iterations, ls_iterations=ls_iterations)
    return {
        "native": evaluate_vector(NativeWorld(world, EPISODES), policy, seed=7).interval(),
        "mjx": evaluate_vector(device, policy, seed=7).interval(),
    }


if __name__ == "__main__":
    prepare(os.environ, Path(tempfile.gettempdir()) / "touchline-worlds-jax-cache")
    what, *numbers = sys.argv[1:]
    print(json.dumps({"apart": apart, "returns": returns}[what](*map(int, numbers))))
