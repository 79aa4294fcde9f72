"""Play our own policies once, 200 perturbed scenarios of each task, for ``gates.py`` to simulate gates from.

Walker, a twin of it (as good, and not the same), walker-steady, "stand still" and zero torque meet the same
scenarios, a piece at a time: a run that is stopped goes on, and what is played is paired whenever it stops.

Usage: python benchmarks/gates_episodes.py [--quick] [--fresh]; writes results/gates-episodes.json.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from harness import Part

from touchline.config import Settings
from touchline.jobs.judge import Judge
from touchline.jobs.players import find_player
from touchline.learning.policy import Policy, zero_policy
from touchline.soccer.control import stand_still
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.scenario import scenarios

PROCESSES = 2
FIRST_SEED = 9_000_011
"""No training, selection or milestone plays these scenarios."""
PIECE = 25
"""Scenarios a task that are played and kept at once."""
DISTURBANCE = 0.01
"""By how much, relatively, every weight of walker is changed to make its twin."""


def players() -> dict[str, Policy]:
    """Return whom the benchmark knows, by name."""
    found = {name: find_player(Settings(), name).policy for name in ("walker", "walker-steady", "stand-still")}
    random, walker = np.random.default_rng(0), found["walker"]
    weights = tuple((w * (1 + DISTURBANCE * random.normal(size=w.shape))).astype(np.float32) for w in walker.weights)
    limp = replace(stand_still(), stiffness=(0.0,) * 12, damping=(0.0,) * 12)
    return {
        "walker": walker,
        "twin of walker": Policy(weights, walker.biases, walker.mean, walker.std, walker.clip, walker.metadata),
        "walker-steady": found["walker-steady"],
        "stand still": found["stand-still"],
        "zero torque": zero_policy(89, 12, {"controller": limp.to_dict(), "world": "soccer"}),
    }


def play(judge: Judge, policy: Policy, seeds: range) -> dict[str, Any]:
    """Play every task with every seed; task → column → one value an episode."""
    judged = judge.evaluate(policy, scenarios(seeds, Perturbation()))
    return {
        task: {
            "score": judged.scores[task].round(6).tolist(),
            "dense_return": judged.returns[task].round(3).tolist(),
            "physics_steps": judged.physics_steps[task].astype(int).tolist(),
            "fall": [bool(episode.info["outcomes/fall"]) for episode in episodes],
        }
        for task, episodes in judged.episodes.items()
    }


def main() -> None:
    """Play everybody, piece by piece."""
    part = Part("episodes", __doc__, subject="gates")
    count = part.size(200, 2)
    piece = min(PIECE, count)
    with Judge(PROCESSES) as judge:
        for start in range(0, count, piece):
            for name, policy in players().items():
                seeds = range(FIRST_SEED + start, FIRST_SEED + start + piece)
                part.measure(f"{name}/{start}", lambda p=policy, s=seeds: play(judge, p, s))  # type: ignore[misc]
                print(f"{name}: {start + piece} scenarios a task", flush=True)


if __name__ == "__main__":
    main()
