"""Speed of the training world on a backend. Arguments: native or mjx, environments, policy steps, randomisation."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from touchline.jax_guard import prepare
from touchline.simulation.backends import make_envs
from touchline.simulation.randomisation import level_named
from touchline.soccer.world import SoccerWorld

WARM_UP = 5


def main(backend: str, environments: str, steps: str, level: str) -> None:
    """Print what was measured."""
    prepare(os.environ, Path(tempfile.gettempdir()) / "touchline-worlds-jax-cache")
    world, n = SoccerWorld(randomisation=level_named(level)), int(environments)
    envs = make_envs(world, backend, n)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (WARM_UP + int(steps), n, world.action_size))
    for action in actions[:WARM_UP]:
        envs.step(action.astype(np.float32))
    began = time.perf_counter()
    for action in actions[WARM_UP:]:
        envs.step(action.astype(np.float32))
    seconds = time.perf_counter() - began
    print(json.dumps({"physics_steps_per_second": n * int(steps) * world.decimation / seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
