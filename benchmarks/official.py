"""How much faster than `env.step` is the lean official environment? Both alternate; ratios of medians.

Usage: python benchmarks/official.py; writes results/official.json.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.official_model import make_official
from touchline.soccer.tasks import TASKS

RESULTS = Path(__file__).parent / "results" / "official.json"
PHYSICS_STEPS = 1_500
ROUNDS = 5


def lean(env: OfficialEnv) -> float:
    """Return physics steps a second of ours."""
    env.reset(seed=0)
    action = np.zeros(12, np.float32)
    began = time.perf_counter()
    for _ in range(PHYSICS_STEPS // env.controller.decimation):
        env.step(action)
    return PHYSICS_STEPS / (time.perf_counter() - began)


def official(env: object) -> float:
    """Return physics steps a second of the official ``step`` under the same controller."""
    controller = stand_still()
    target = controller.target(np.zeros(12))
    observation, _ = env.reset(seed=0)  # type: ignore[attr-defined]
    began = time.perf_counter()
    for _ in range(PHYSICS_STEPS):
        torque = controller.torque(target, observation[:12], observation[12:24])
        observation, *_ = env.step(torque)  # type: ignore[attr-defined]
    return PHYSICS_STEPS / (time.perf_counter() - began)


def main() -> None:
    """Measure every task and print the table."""
    warnings.simplefilter("ignore")
    measured = {}
    for task in TASKS:
        ours, theirs = OfficialEnv(task, stand_still()), make_official(task)
        pairs = [(lean(ours), official(theirs)) for _ in range(ROUNDS)]
        fast, slow = (statistics.median(column) for column in zip(*pairs, strict=True))
        measured[task] = {"lean": round(fast), "env_step": round(slow), "ratio": round(fast / slow, 1)}
        print(f"{task:<24}{fast:9,.0f} physics steps/s   env.step {slow:7,.0f}   {fast / slow:.1f}×", flush=True)
        ours.close()
        theirs.close()
    RESULTS.parent.mkdir(exist_ok=True)
    kept = {"processors": os.cpu_count(), "physics_steps_per_second": measured}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
