"""Find the numbers of the teacher's gait (``soccer/gait.py``) in the training scene by the cross-entropy method.

A population of gaits walks under pushes; the next is drawn around the best fifth. Starts from ``Gait()``.
Usage: python examples/find_gait.py [--minutes 10] [--population 32] [--repeats 4] [--push-speed 0.5]; prints it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import astuple, fields

import numpy as np
from numpy.typing import NDArray

from touchline.simulation.native import NativeWorld
from touchline.simulation.randomisation import Randomisation
from touchline.soccer.control import walk
from touchline.soccer.gait import Gait, bearing_of
from touchline.soccer.world import SoccerWorld

NAMES = tuple(field.name for field in fields(Gait) if field.name not in ("ramp", "lean_by_speed"))
SPREAD = dict.fromkeys(NAMES, 0.05) | {
    "frequency": 0.3,
    "bend": 0.15,
    "lift": 0.15,
    "duty": 0.2,
    "speed": 0.15,
    "turn": 0.3,
    "place_forward": 0.15,
    "place_sideways": 0.15,
    "hip_pitch": 0.4,
    "hip_roll": 0.3,
    "ankle_pitch": 0.3,
}
"""Standard deviation of the first population."""
TOP_SPEED = 0.45
"""Speed beyond which a gait earns nothing more, m/s."""


def play(
    envs: NativeWorld, gaits: NDArray[np.float64], repeats: int, steps: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the fitness of each gait, the seconds it stayed up and the metres it walked, shape (n, repeats)."""
    world, n = envs.world, envs.num_envs
    assert isinstance(world, SoccerWorld)
    root, ball = world.index.root_position, world.index.ball_position
    # One Gait of columns walks them all.
    gait = Gait(**dict(zip(NAMES, np.repeat(gaits, repeats, axis=0).T, strict=True)))
    observation, _ = envs.reset(seed=seed, options={"tasks": np.zeros(n, dtype=np.int64)})
    begin = envs.qpos
    ahead = begin[:, ball][:, :2] - begin[:, root][:, :2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    up, walked, cost, touched = np.ones(n, bool), np.zeros(n), np.zeros(n), np.zeros(n, bool)
    length = np.zeros(n)
    for step in range(steps):
        qpos = envs.qpos
        bearing = bearing_of(qpos[:, root], qpos[:, ball])
        target = gait.target(observation, bearing, np.full(n, step * 0.04))
        observation, _, terminated, _, info = envs.step(world.controller.action(target).astype(np.float32))
        up &= ~terminated
        if not up.any():
            break
        qpos = envs.qpos
        moved = qpos[:, root][:, :2] - begin[:, root][:, :2]
        touched |= up & (np.linalg.norm(qpos[:, ball][:, :2] - begin[:, ball][:, :2], axis=1) > 0.05)
        walked = np.where(up, (moved * ahead).sum(1), walked)
        aside = np.abs(moved[:, 0] * ahead[:, 1] - moved[:, 1] * ahead[:, 0])
        turned = np.where(touched, 0.0, np.abs(bearing))
        cost += up * (0.02 * aside + 0.01 * turned + 0.001 * np.minimum(info["terms"]["sway"], 20.0))
        length += up
    seconds = 0.04 * length
    fitness = seconds + np.clip(walked, -1.0, TOP_SPEED * seconds) + touched - cost
    return tuple(part.reshape(-1, repeats) for part in (fitness, seconds, walked))  # type: ignore[return-value]


def main() -> None:
    """Search for the minutes given and print the mean of the last population."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--population", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--push-speed", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rough = Randomisation(mass=0.05, friction=0.2, damping=0.1, push_speed=given.push_speed, push_seconds=2.0)
    world = SoccerWorld(controller=walk(), episode_steps=100_000, randomisation=rough)
    envs = NativeWorld(world, given.population * given.repeats)
    generator = np.random.default_rng(given.seed)
    start = dict(zip((field.name for field in fields(Gait)), astuple(Gait()), strict=True))
    mean, spread = np.array([start[name] for name in NAMES]), np.array([SPREAD[name] for name in NAMES])
    least = 0.03 * spread
    began, steps = time.monotonic(), 100
    while time.monotonic() - began < 60 * given.minutes:
        gaits = mean + spread * generator.standard_normal((given.population, len(NAMES)))
        gaits[0] = mean
        fitness, seconds, walked = play(envs, gaits, given.repeats, steps, int(generator.integers(2**31)))
        best = np.argsort(-(0.6 * fitness.mean(1) + 0.4 * fitness.min(1)))[: max(4, given.population // 5)]
        weights = np.log(len(best) + 1) - np.log(np.arange(1, len(best) + 1))
        weights /= weights.sum()
        middle = weights @ gaits[best]
        spread = 0.6 * spread + 0.4 * np.maximum(np.sqrt(weights @ (gaits[best] - middle) ** 2), least)
        mean = mean + 0.8 * (middle - mean)
        up_to = 0.04 * steps
        print(f"the best stay up {seconds[best].mean():.1f} of {up_to:.1f} s and walk {walked[best].mean():.2f} m")
        if seconds[best].mean() > 0.9 * 0.04 * steps:
            steps = min(250, int(1.4 * steps))
    print(Gait(**dict(zip(NAMES, (round(float(value), 4) for value in mean), strict=True))))


if __name__ == "__main__":
    main()
