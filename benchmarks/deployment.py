"""Should a deployed policy act at 50 Hz, as it was trained, or at every physics step, as the competition asks it?

The competition calls a model at 500 Hz. Its file can keep its joint targets for ten calls, or run its network at
each. Both are played here in the official environments on the same perturbed scenarios, with and without pushes, and
without sensor noise, which the competition has none of. Beside them the policy acts as it was trained, in NumPy at
50 Hz: it differs from the file that holds by rounding alone, and so tells how far two equal robots part. Differences
are of pairs, with 95 % intervals (Student's t).

Usage: python benchmarks/deployment.py POLICY … [--home HOME] [--quick] [--fresh]; POLICY as `touchline film` knows
it: NAME@ALIAS, a run, a directory. Writes results/deployment.json, a part a policy; parts that are there stay.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, table
from scipy import stats

from touchline.config import Settings
from touchline.jobs.deployment import DeployedPolicy, deployed
from touchline.jobs.judge import Judge, Judged
from touchline.jobs.players import find_player
from touchline.learning.policy import Policy
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.scenario import scenarios

PROCESSES = 2
EPISODES = 50
"""A task, of each kind of scenarios."""
KINDS = {
    "starts": Perturbation(),
    "pushes": Perturbation(pushes=4, push_force=60.0),
}


class InNumPy(DeployedPolicy):
    """A policy that a judge leaves as it is, and that acts without its file."""

    logits, __call__ = Policy.logits, Policy.__call__


def arms(policy: Policy) -> dict[str, Policy]:
    """The same weights in three ways to be played."""
    parts = (policy.weights, policy.biases, policy.mean, policy.std, policy.clip)
    every_step = {**policy.metadata, "controller": {**policy.metadata["controller"], "decimation": 1}}
    return {
        "as trained": InNumPy(*parts, policy.metadata),
        "holds": deployed(Policy(*parts, policy.metadata)),
        "every step": deployed(Policy(*parts, every_step)),
    }


def play(judge: Judge, policy: Policy, kind: str, episodes: int) -> dict[str, Any]:
    """Play all three on the same scenarios and compare pairs."""
    rows: dict[str, Any] = {}
    judged: dict[str, Judged] = {}
    for name, player in arms(policy).items():
        began = time.perf_counter()
        judged[name] = judge.evaluate(player, scenarios(range(episodes), KINDS[kind]))
        steps = _all(judged[name].physics_steps)
        rows[name] = {
            "score": {task: round(float(scores.mean()), 4) for task, scores in judged[name].scores.items()},
            "mean_score": round(judged[name].mean_score, 4),
            "dense_return": round(judged[name].mean_return, 1),
            "survived": round(float((steps >= 5_000).mean()), 4),
            "physics_steps": round(float(steps.mean())),
            "seconds": round(time.perf_counter() - began, 1),
        }
    for name in ("as trained", "every step"):
        rows[f"{name} minus holds"] = {
            "score": _difference(_all(judged[name].scores), _all(judged["holds"].scores)),
            "physics_steps": _difference(_all(judged[name].physics_steps), _all(judged["holds"].physics_steps)),
        }
    return rows


def _all(by_task: dict[str, Any]) -> np.ndarray:
    return np.concatenate(list(by_task.values()))


def _difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    pairs = one - other
    half = float(stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(pairs))
    mean = float(pairs.mean())
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def main() -> None:
    """Measure policy after policy and print the table."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policies", nargs="+")
    parser.add_argument("--home", type=Path)
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    settings = Settings.load(home=given.home)
    part, shown = Part("", __doc__, subject="deployment"), []
    episodes = part.size(EPISODES, 2)
    with Judge(PROCESSES) as judge:
        for word in given.policies:
            player = find_player(settings, word)
            for kind in KINDS:
                rows = part.measure(
                    f"{player.name}, {kind}", functools.partial(play, judge, player.policy, kind, episodes)
                )
                for name in ("as trained", "holds", "every step"):
                    row = rows[name]
                    apart = rows.get(f"{name} minus holds", {}).get("score", {})
                    told = f"{apart['mean']:+.3f} [{apart['low']:+.3f}, {apart['high']:+.3f}]" if apart else None
                    survived = f"{row['survived']:.0%}"
                    figures = row["mean_score"], told, survived, row["physics_steps"], row["seconds"]
                    shown.append((player.name, kind, name, *figures))
    head = ("policy", "scenarios", "played", "score", "minus the one that holds", "survives", "physics steps", "s")
    table(head, shown)


if __name__ == "__main__":
    main()
