"""How much faster than `env.step` are the official environments here, one alone and many over two processes?

Physics steps of 2 ms a second, all environments together, the robot standing under `stand_still` with action 0, which
both sides get from the same PD controller. In every round `env.step`, one `OfficialEnv` and a batch take turns on the
same machine; ratios are of medians.

Usage: python benchmarks/official.py [--quick] [--fresh]; writes results/official-stepping.json.
"""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

import numpy as np
from harness import Part

from touchline.jobs.worlds import official_soccer
from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.official_model import make_official
from touchline.soccer.tasks import TASKS

PROCESSES = 2
DECIMATION = stand_still().decimation


def official(env: Any, physics_steps: int) -> float:
    """Return physics steps a second of the official ``step`` under the same controller."""
    controller = stand_still()
    target = controller.target(np.zeros(12))
    observation, _ = env.reset(seed=0)
    began = time.perf_counter()
    for _ in range(physics_steps):
        torque = controller.torque(target, observation[:12], observation[12:24])
        observation, *_ = env.step(torque)
    return physics_steps / (time.perf_counter() - began)


def ours(env: Any, policy_steps: int, environments: int) -> float:
    """Return physics steps a second of ``environments`` together."""
    env.reset(seed=0)
    actions = np.zeros(env.action_space.shape, np.float32)
    began = time.perf_counter()
    for _ in range(policy_steps):
        env.step(actions)
    return policy_steps * DECIMATION * environments / (time.perf_counter() - began)


def compare(tasks: tuple[str, ...], each: int, rounds: int) -> dict[str, float]:
    """Measure ``each`` environments of every task of ``tasks`` in a batch against one of each, alternating."""
    batch = official_soccer(tasks * each, stand_still(), processes=PROCESSES)
    alone = [OfficialEnv(task, stand_still()) for task in tasks]
    theirs = [make_official(task) for task in tasks]
    found: dict[str, list[float]] = {"env_step": [], "one": [], "batch": []}
    for _ in range(rounds):
        found["env_step"].append(statistics.harmonic_mean([official(env, 600) for env in theirs]))
        found["one"].append(statistics.harmonic_mean([ours(env, 200, 1) for env in alone]))
        found["batch"].append(ours(batch, 100, len(tasks) * each))
    batch.close()
    for env in theirs:
        env.close()
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    ratios = {f"{name}_ratio": round(medians[name] / medians["env_step"], 1) for name in ("one", "batch")}
    return {name: round(rate) for name, rate in medians.items()} | ratios


def main() -> None:
    """Measure every task and all three mixed, and print the table."""
    warnings.simplefilter("ignore")
    part = Part("stepping", __doc__, subject="official")
    each, rounds = part.size(8, 2), part.size(7, 2)
    part.put("processes", PROCESSES)
    part.put("environments_of_each_task_in_a_batch", each)
    print(f"{'physics steps a second':<24}{'env.step':>10}{'OfficialEnv':>20}{f'batch, {PROCESSES} processes':>24}")
    for name, tasks in {**{task: (task,) for task in TASKS}, "all three mixed": TASKS}.items():
        row = part.measure(name, lambda tasks=tasks: compare(tasks, each, rounds))  # type: ignore[misc]
        told = [f"{row[kind]:,} ({row[kind + '_ratio']}×)" for kind in ("one", "batch")]
        print(f"{name:<24}{row['env_step']:>10,}{told[0]:>20}{told[1]:>24}", flush=True)


if __name__ == "__main__":
    main()
