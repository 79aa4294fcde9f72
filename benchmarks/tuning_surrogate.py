"""Real trainings of the pre-train learner all over the default space, which `tuning_search.py` plays studies from.

64 configurations (a scrambled Sobol sequence) × 3 training seeds on the task of `tuning_world.py`. A training reports
the mean return of 16 deterministic episodes 16 times; its best policy then plays two sets of other episodes: those
that judge finalists, and those that tell the truth. Each training is kept when it is done, and any number of first
configurations is spread evenly over the space; one process with one thread. Usage: nice -n 15 python
benchmarks/tuning_surrogate.py [--quick] [--fresh] [--limit 10]
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part
from scipy.stats import qmc

CONFIGURATIONS, SEEDS = 64, 3
TRANSITIONS, REPORTS = 6_400, 16
BATCH_SIZES = (128, 256, 512, 1_024)
TUNING_SEED, FINALIST_SEED, TRUTH_SEED = 1_000_003, 1_000_033, 1_000_037
"""Of the episodes that trials report, that judge finalists, and that tell how good a configuration is."""


@dataclass(frozen=True)
class Point:
    """A point of the default space."""

    lr: float
    """Of actor and critics, 1e-5 to 1e-3, logarithmic."""
    batch_size: int
    """128, 256, 512 or 1,024."""
    tau: float
    """0.001 to 0.01."""
    gamma: float
    """0.95 to 0.999."""

    @classmethod
    def at(cls, place: Any) -> Point:
        """The point at a place in the unit cube, shape (4,)."""
        lr, batch_size, tau, gamma = (float(share) for share in place)
        return cls(
            lr=10.0 ** (-5.0 + 2.0 * lr),
            batch_size=BATCH_SIZES[min(int(4.0 * batch_size), 3)],
            tau=0.001 + 0.009 * tau,
            gamma=0.95 + 0.049 * gamma,
        )

    @property
    def place(self) -> tuple[float, float, float, float]:
        """Where it lies in the unit cube; a batch size in the middle of its quarter."""
        quarter = (BATCH_SIZES.index(self.batch_size) + 0.5) / 4.0
        return (np.log10(self.lr) + 5.0) / 2.0, quarter, (self.tau - 0.001) / 0.009, (self.gamma - 0.95) / 0.049


def points() -> list[Point]:
    """The configurations, the same every time."""
    return [Point.at(place) for place in qmc.Sobol(4, seed=0).random(CONFIGURATIONS)]


def train(point: Point, seed: int, transitions: int) -> dict[str, Any]:
    """Train once and return the reported returns, and the best policy's on the other two sets of episodes."""
    from tuning_world import SwingUp

    from touchline.cadence import Cadence
    from touchline.learning import sac, sac_train
    from touchline.learning.evaluate_vector import evaluate_vector
    from touchline.learning.sac_config import SacConfig
    from touchline.simulation.native import NativeWorld

    config = SacConfig(
        actor_hidden=(32, 32),
        critic_hidden=(32, 32),
        actor_lr=point.lr,
        critic_lr=point.lr,
        batch_size=point.batch_size,
        tau=point.tau,
        gamma=point.gamma,
        n_step=3,
        updates_per_step=8,
        replay_size=transitions,
        warmup_steps=400,
        initial_alpha=0.1,
    )
    world = SwingUp()
    envs, examined, judged = (NativeWorld(world, episodes, threads=1) for episodes in (32, 16, 128))
    due = Cadence(transitions // REPORTS, minimum_seconds=0.0)
    curve: list[float] = []
    best = None
    try:
        for progress in sac_train.train(envs, config, total_steps=transitions, seed=seed):
            if due.due(progress.step):
                policy = sac.to_policy(progress.state)
                told = float(evaluate_vector(examined, policy, seed=TUNING_SEED).returns.mean())
                best = policy if not curve or told >= max(curve) else best
                curve.append(round(told, 2))
        returns = {
            name: round(float(evaluate_vector(judged, best, seed=of).returns.mean()), 2)
            for name, of in (("finalist", FINALIST_SEED), ("truth", TRUTH_SEED))
        }
    except FloatingPointError as error:
        return {"curve": curve, "failed": str(error)}
    finally:
        for each in (envs, examined, judged):
            each.close()
    return {"curve": curve, **returns}


def main() -> None:
    """Make the trainings that are missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=CONFIGURATIONS * SEEDS, help="trainings to make now, at most")
    part = Part("surrogate", __doc__, subject="tuning", parser=parser)
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / "build" / "jax-cache"))
    from touchline.jax_guard import guard_jax

    guard_jax()
    part.put("points", [asdict(point) for point in points()])
    missing = [
        (name, point, seed)
        for number, point in enumerate(points()[: part.size(CONFIGURATIONS, 2)])
        for seed in range(part.size(SEEDS, 1))
        if (name := f"training/{number}/{seed}") not in part.results
    ]
    for name, point, seed in missing[: part.options.limit]:
        said = part.measure(name, lambda point=point, seed=seed: train(point, seed, part.size(TRANSITIONS, 1_600)))
        print(f"{name} {point}: {said.get('truth', said)}", flush=True)


if __name__ == "__main__":
    main()
