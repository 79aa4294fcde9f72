"""Seconds from the start of a process to the first step of the training world. Argument: native or mjx."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

from touchline.jax_guard import prepare


def main(backend: str) -> None:
    """Print what was measured."""
    prepare(os.environ, Path(tempfile.gettempdir()) / "touchline-worlds-jax-cache")
    from touchline.simulation.backends import make_envs
    from touchline.soccer.world import SoccerWorld

    envs = make_envs(SoccerWorld(), backend, 128)
    envs.reset(seed=0)
    envs.step(np.zeros((128, 12), np.float32))
    import time

    print(json.dumps({"seconds": time.time() - psutil.Process().create_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
