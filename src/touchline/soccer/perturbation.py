"""Declared perturbations of an official reset, drawn from a scenario's seed.

The goalie task resets to the same state for every seed, so an evaluation over its seeds would measure one
episode many times. A perturbation is data: the same seed gives the same scenario to every policy.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

_STREAM = 0x70C4
"""Keeps these draws independent of the official environment's own, which start from the same seed."""


@dataclass(frozen=True)
class Perturbation:
    """Standard deviations of the zero-mean Gaussian noise added to the state after a reset."""

    joint_position: float = 0.02
    """Of each leg joint, radians; the result stays inside the joint's range."""
    joint_velocity: float = 0.1
    """Of each leg joint, rad/s."""
    base_velocity: float = 0.1
    """Of the trunk along x and y, m/s."""
    ball_position: float = 0.05
    """Of the ball along x and y, metres."""

    def apply(self, model: Any, data: Any, seed: int) -> None:
        """Perturb ``data`` (an ``MjData`` of an official ``model``) in place and recompute what follows.

        Every quantity has its own draws, so changing one deviation leaves the others' noise as it was.
        """
        if not any(astuple(self)):
            return
        import mujoco

        draw = np.random.default_rng((seed, _STREAM)).standard_normal
        legs = [j for j in range(model.njnt) if model.joint(j).name.startswith("robot_0:")][1:]
        position, velocity = model.jnt_qposadr[legs], model.jnt_dofadr[legs]
        root, ball = model.joint("robot_0:root"), model.joint("env:ball")
        low, high = model.jnt_range[legs].T
        noisy = data.qpos[position] + self.joint_position * draw(len(legs))
        data.qpos[position] = np.clip(noisy, low, high)
        data.qvel[velocity] += self.joint_velocity * draw(len(legs))
        data.qvel[root.dofadr[0] : root.dofadr[0] + 2] += self.base_velocity * draw(2)
        data.qpos[ball.qposadr[0] : ball.qposadr[0] + 2] += self.ball_position * draw(2)
        mujoco.mj_forward(model, data)


NONE = Perturbation(joint_position=0.0, joint_velocity=0.0, base_velocity=0.0, ball_position=0.0)
"""The official reset, unchanged."""
