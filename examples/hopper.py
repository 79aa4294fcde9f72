"""Another robot in the same pipeline: Gymnasium's hopper, which has to stand or to hop at 1 m/s.

    touchline run pipeline --recipe stand --world examples/hopper.py

Everything that the jobs need of a world of one's own is in this file; docs/worlds.md explains it line by line.
"""

from __future__ import annotations

from importlib.resources import files
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import mujoco
import numpy as np

from touchline.simulation import Moves, Physics, Start, World

HEIGHT = 1.25
"""Of the torso when the leg is straight, metres."""


class Goal(NamedTuple):
    """What an episode is about."""

    speed: Any
    """Wanted forward speed, m/s, shape (n, 1): 0 to stand, 1 to hop."""


class Hopper(World):
    """One leg of three actuated joints in a plane."""

    name = "hopper"
    tasks = ("stand", "hop")
    decimation = 10
    episode_steps = 300
    observation_size = 12
    uniforms = 6
    weights: ClassVar[dict[str, float]] = {"alive": 0.5, "speed": 2.0, "upright": 0.2, "effort": -0.05}
    pushed = (0, 1)
    noise = np.array([0.01] * 5 + [0.1] * 6 + [0.0])

    def spec(self, *, visual: bool = False) -> mujoco.MjSpec:
        """Gymnasium's model; Euler needs a quarter of the time of its RK4."""
        spec = mujoco.MjSpec.from_file(str(files("gymnasium") / "envs" / "mujoco" / "assets" / "hopper.xml"))
        spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
        return spec

    def start(self, uniform: Any, task: Any, xp: ModuleType) -> Start:
        """Begin straight up with a little noise in every joint."""
        n = uniform.shape[0]
        zero = xp.zeros((n, 1))
        joints = 0.05 * (uniform[:, :4] - 0.5) * xp.asarray([1.0, 2.0, 2.0, 2.0]) - xp.asarray([0.0, 0.05, 0.05, 0.0])
        qpos = xp.concatenate([zero, zero + HEIGHT, joints], axis=-1)
        return Start(qpos, xp.zeros((n, 6)), Goal(1.0 * task[:, None]))

    def observe(self, physics: Physics, episode: Goal, xp: ModuleType) -> Any:
        """Height and angles, velocities, the wanted speed; not how far it has come."""
        velocity = xp.clip(physics.qvel, -10.0, 10.0)
        return xp.concatenate([physics.qpos[:, 1:], velocity, episode.speed], axis=-1).astype(np.float32)

    def terms(self, physics: Physics, episode: Goal, moves: Moves, xp: ModuleType) -> dict[str, Any]:
        """Pay for the wanted speed, an upright torso and little effort."""
        error = physics.qvel[:, 0] - episode.speed[:, 0]
        return {
            "alive": 1.0 - moves.ended,
            "speed": 1.0 - xp.minimum(xp.abs(error), 1.0),
            "upright": xp.cos(physics.qpos[:, 2]),
            "effort": (moves.action**2).mean(-1),
        }

    def terminated(self, physics: Physics, xp: ModuleType) -> Any:
        """It has fallen when the torso is low or leans by more than 0.5 rad."""
        return (physics.qpos[..., 1] < 0.8) | (xp.abs(physics.qpos[..., 2]) > 0.5)
