"""How far did the robot get? Milestones (a) to (e) of a policy on official episodes, reached or not, with intervals.

Two sets of official episodes, the same for the policy and for "stand still" (action 0 under stiff ankles): perturbed
as gate 3 perturbs, and pushed, hard enough that "stand still" falls in more than half of them.

(a) never below "stand still": on every task the mean paired difference of the score is at least 0 with 97.5 %
    confidence.
(b) stands under pushes that fell the zero action: it survives pushed episodes more often, with 95 % confidence.
(c) walks 1 m: the median over perturbed episodes of the distance walked is at least 1 m.
(d) touches the ball in at least half of the perturbed episodes and falls in less than a fifth.
(e) a goal, or a ball on the target, in at least one episode.

What was played is kept in build/, so that a benchmark that is stopped goes on with the next task.
Usage: python benchmarks/milestones.py POLICY [--seeds 100] [--processes 2] [--push-force 60] [--output FILE];
POLICY is a directory with policy.json, or what ``touchline film`` takes. Writes results/milestones.json.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from harness import HERE, machine, table
from numpy.typing import NDArray
from scipy import stats

from touchline.config import Settings
from touchline.gates.statistics import differences, paired_bootstrap
from touchline.jobs.players import find_player
from touchline.learning.evaluate import Episode, Evaluator
from touchline.learning.policy import Policy
from touchline.soccer.control import Controller
from touchline.soccer.official import OfficialEnv
from touchline.soccer.perturbation import Perturbation
from touchline.soccer.scenario import scenarios
from touchline.soccer.tasks import TASKS

FIRST_SEED = 7_000_003
"""Neither training, selection nor gate 3 plays these scenarios."""
MOVED_METRES, MOVED_SPEED = 0.05, 0.1
"""The ball was touched when it lies further from its start than this, or was faster, m/s, after the first 0.5 s."""
SETTLING_STEPS = 25
"""Policy steps in which the ball may settle by itself."""
FALLING_STEPS = 25
"""Policy steps before a fall that count as falling and not as walking: 0.5 s."""


class Observed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds to an official episode's last ``info`` what the score does not tell: how far, touched, fallen, goal."""

    def __init__(self, task: str, controller: Controller) -> None:
        super().__init__(OfficialEnv(task, controller))

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        self._steps, self._touched, self._furthest = 0, False, 0.0
        self._recent: deque[float] = deque(maxlen=FALLING_STEPS + 1)
        self._from = self._trunk().copy()
        self._ball_from = self._ball()[0].copy()
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        self._recent.append(float(np.linalg.norm(self._trunk() - self._from)))
        if len(self._recent) == self._recent.maxlen:
            self._furthest = max(self._furthest, self._recent[0])
        place, speed = self._ball()
        moved = np.linalg.norm(place - self._ball_from) > MOVED_METRES
        rolls = self._steps > SETTLING_STEPS and np.linalg.norm(speed) > MOVED_SPEED
        self._touched = self._touched or bool(moved or rolls)
        if terminated or truncated:
            fallen = info["outcome"] == "fallen"
            walked = self._furthest if fallen else max(self._furthest, *self._recent)
            info |= {"walked": walked, "touched": self._touched, "fallen": fallen, "goal": info["success"]}
        return observation, reward, terminated, truncated, info

    def _trunk(self) -> NDArray[np.float64]:
        data: Any = self.env.unwrapped.data  # type: ignore[attr-defined]
        return np.asarray(data.joint("robot_0:root").qpos[:2])

    def _ball(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ball: Any = self.env.unwrapped.data.joint("env:ball")  # type: ignore[attr-defined]
        return ball.qpos[:2], ball.qvel[:2]


KEPT = HERE.parent / "build" / "benchmarks" / "milestones-episodes.json"
FIGURES = ("score", "walked", "touched", "fallen", "goal")
Figures = dict[str, dict[str, NDArray[np.float64]]]
"""Task → figure → one value an episode."""


def play(evaluator: Evaluator, policy: Policy, seeds: range, perturbation: Perturbation) -> Figures:
    """Play one official episode a task and seed, or take what was played before."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    controller = Controller.from_dict(policy.metadata["controller"])
    played: Figures = {}
    for task in TASKS:
        here = [one for one in scenarios(seeds, perturbation) if one.task == task]
        key = hashlib.sha256("".join([weights_of(policy), *(one.digest for one in here)]).encode()).hexdigest()
        if key not in kept:
            make = functools.partial(Observed, task, controller)
            options = [{"scenario": one} for one in here]
            episodes: list[Episode] = evaluator.evaluate(make, policy, [one.seed for one in here], options=options)
            kept[key] = {name: [one.info[name] for one in episodes] for name in FIGURES}
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            KEPT.write_text(json.dumps(kept))
        played[task] = {name: np.array(kept[key][name], dtype=np.float64) for name in FIGURES}
    return played


def weights_of(policy: Policy) -> str:
    """Tell policies apart: a digest of everything that acts."""
    digest = hashlib.sha256(json.dumps(policy.metadata["controller"], sort_keys=True).encode())
    for array in (*policy.weights, *policy.biases, policy.mean, policy.std):
        digest.update(np.ascontiguousarray(array, dtype=np.float32).tobytes())
    return digest.hexdigest()


def share(happened: NDArray[Any]) -> dict[str, float]:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    interval = stats.binomtest(int(happened.sum()), len(happened)).proportion_ci(0.95)
    return {"share": float(happened.mean()), "low": float(interval.low), "high": float(interval.high)}


def median(values: NDArray[np.float64]) -> dict[str, float]:
    """A median with its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (9_999, len(values)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return {"median": float(np.median(values)), "low": float(low), "high": float(high)}


def everywhere(played: Figures, figure: str) -> NDArray[np.float64]:
    """The figure's values on all tasks."""
    return np.concatenate([played[task][figure] for task in TASKS])


def told(played: Figures) -> dict[str, Any]:
    """What a player reached in a set of episodes, by task and on all of them."""

    def figures(of: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        shares = {name: share(of[name]) for name in ("touched", "fallen", "goal")}
        walked = {"walked": median(of["walked"]), "walked_1_m": share(of["walked"] >= 1.0)}
        return {"episodes": len(of["score"]), "score": float(of["score"].mean()), **walked, **shares}

    whole = {name: everywhere(played, name) for name in FIGURES}
    return {**{task: figures(played[task]) for task in TASKS}, "all": figures(whole)}


def milestones(ours: dict[str, Figures], still: dict[str, Figures]) -> dict[str, dict[str, Any]]:
    """Judge each milestone from the episodes of the policy and of "stand still", by set."""
    perturbed, pushed = ours["perturbed"], ours["pushed"]
    gains = {
        task: paired_bootstrap(perturbed[task]["score"] - still["perturbed"][task]["score"], confidence=0.975)
        for task in TASKS
    }
    paired = differences(
        {task: 1.0 - pushed[task]["fallen"] for task in TASKS},
        {task: 1.0 - still["pushed"][task]["fallen"] for task in TASKS},
    )
    stands = paired_bootstrap(paired, confidence=0.975)
    felled = share(everywhere(still["pushed"], "fallen"))
    walked, touched, fallen = (everywhere(perturbed, name) for name in ("walked", "touched", "fallen"))
    goals = {name: share(everywhere(played, "goal")) for name, played in ours.items()}
    return {
        "a": {
            "reached": all(gain.low >= 0.0 for gain in gains.values()),
            "score_minus_stand_still": {
                task: {"mean": gain.mean, "low": gain.low, "high": gain.high} for task, gain in gains.items()
            },
        },
        "b": {
            "reached": felled["share"] >= 0.5 and stands.low > 0.0,
            "survived": share(1.0 - everywhere(pushed, "fallen")),
            "stand_still_fallen": felled,
            "survival_minus_stand_still": {"mean": stands.mean, "low": stands.low, "high": stands.high},
        },
        "c": {"reached": bool(np.median(walked) >= 1.0), "walked": median(walked), "share": share(walked >= 1.0)},
        "d": {
            "reached": bool(touched.mean() >= 0.5 and fallen.mean() < 0.2),
            "touched": share(touched),
            "fallen": share(fallen),
        },
        "e": {"reached": any(goal["share"] > 0 for goal in goals.values()), "goals": goals},
    }


def main() -> None:
    """Play, judge, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy")
    parser.add_argument("--seeds", type=int, default=100, help="episodes a task and set")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pushes", type=int, default=4, help="pushes an episode of the pushed set")
    parser.add_argument("--push-force", type=float, default=60.0, help="their standard deviation, newtons")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "milestones.json")
    given = parser.parse_args()
    sets = {
        "perturbed": Perturbation(),
        "pushed": Perturbation(pushes=given.pushes, push_force=given.push_force),
    }
    settings = Settings.load()
    players = {"policy": find_player(settings, given.policy).policy}
    players["stand still"] = find_player(settings, "stand-still").policy
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    began, played = time.monotonic(), {}
    with Evaluator(given.processes) as evaluator:
        for name, policy in players.items():
            played[name] = {kind: play(evaluator, policy, seeds, sets[kind]) for kind in sets}
    reached = milestones(played["policy"], played["stand still"])
    result = {
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - began),
        "policy": given.policy,
        "digest": weights_of(players["policy"]),
        "sets": {name: vars(one) for name, one in sets.items()},
        "milestones": reached,
        "players": {name: {kind: told(one) for kind, one in by.items()} for name, by in played.items()},
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    rows = [
        (name, kind, task, one["score"], one["walked"]["median"], *(one[k]["share"] for k in FIGURES[2:]))
        for name, by in result["players"].items()
        for kind, tasks in by.items()
        for task, one in tasks.items()
    ]
    table(("player", "episodes", "task", "score", "walked, m", "touched", "fallen", "goals"), rows)
    for letter, one in reached.items():
        print(f"({letter}) {'reached' if one.pop('reached') else 'not reached'}: {json.dumps(one)}")


if __name__ == "__main__":
    main()
