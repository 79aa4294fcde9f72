"""How long does it take to evaluate a policy on 600 official episodes of 5,000 physics steps, 200 a task?

As `gate3` does it: `Judge` over two processes, a policy of the size that the demo trains (89-128-128-12), acting as a
small residual on `stand_still` so that the robot stands and episodes last. Counted are the physics steps of 2 ms that
were made, the policy's own forward passes and the processes' start included. In between `env.step` is timed on
the same machine for the ratio. Parts of 120 episodes; a run that is stopped goes on with the next part.

Usage: python benchmarks/official_evaluation.py [--quick] [--fresh]; writes results/official-evaluation.json.
"""

from __future__ import annotations

import itertools
import statistics
import time
import warnings
from typing import Any

import numpy as np
from harness import Part
from official import official

from touchline.jobs.judge import Judge
from touchline.learning.policy import Policy
from touchline.soccer.control import stand_still
from touchline.soccer.official_model import make_official
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.scenario import scenarios
from touchline.soccer.tasks import TASKS

PROCESSES = 2
PARTS = 5
SIZES = (89, 128, 128, 12)
RESIDUAL = 0.05
"""About the largest action; the controller's scale makes 0.025 rad of it."""


def residual_policy() -> Policy:
    """A random network whose actions stay small."""
    random = np.random.default_rng(0)
    weights = [random.normal(0, (2 / n) ** 0.5, (m, n)) for n, m in itertools.pairwise(SIZES)]
    weights[-1] *= RESIDUAL / 3
    return Policy(
        weights=tuple(weight.astype(np.float32) for weight in weights),
        biases=tuple(np.zeros(m, np.float32) for m in SIZES[1:]),
        mean=np.zeros(SIZES[0], np.float32),
        std=np.ones(SIZES[0], np.float32),
        metadata={"controller": stand_still().to_dict()},
    )


def play(policy: Policy, seeds: range) -> dict[str, Any]:
    """Evaluate on every task and seed, with processes of its own."""
    reference = statistics.harmonic_mean([official(make_official(task), 600) for task in TASKS])
    began = time.perf_counter()
    with Judge(PROCESSES) as judge:
        judged = judge.evaluate(policy, scenarios(seeds, Perturbation()))
    seconds = time.perf_counter() - began
    made = sum(float(steps.sum()) for steps in judged.physics_steps.values())
    return {
        "episodes": len(seeds) * len(TASKS),
        "seconds": round(seconds, 1),
        "physics_steps": int(made),
        "physics_steps_per_second": round(made / seconds),
        "env_step_per_second": round(reference),
        "mean_score": round(judged.mean_score, 4),
    }


def main() -> None:
    """Measure part after part, and print each and the whole."""
    warnings.simplefilter("ignore")
    part = Part("evaluation", __doc__, subject="official")
    policy, seeds = residual_policy(), part.size(40, 2)
    rows = []
    for i in range(part.size(PARTS, 1)):
        here = range(i * seeds, (i + 1) * seeds)
        rows.append(part.measure(f"part {i + 1}", lambda here=here: play(policy, here)))  # type: ignore[misc]
        told = {name: f"{value:,}" for name, value in rows[-1].items()}
        print(
            f"{told['episodes']} episodes, {told['physics_steps']} physics steps in {told['seconds']} s: "
            f"{told['physics_steps_per_second']} a second, env.step alone {told['env_step_per_second']}",
            flush=True,
        )
    total = {name: sum(row[name] for row in rows) for name in ("episodes", "seconds", "physics_steps")}
    rate = total["physics_steps"] / total["seconds"]
    ratio = rate / statistics.median(row["env_step_per_second"] for row in rows)
    part.put("whole", total | {"physics_steps_per_second": round(rate), "ratio_to_env_step": round(ratio, 1)})
    print(f"{total['episodes']} episodes in {total['seconds'] / 60:.1f} minutes, {ratio:.1f} times env.step")


if __name__ == "__main__":
    main()
