"""What an episode is made of besides physics: its task, where it starts, and the entities that only are seen.

Goalkeepers, defenders and targets move on rails or not at all, so they need no physics: they are numbers from
which the observation is assembled. Everything is a batch and array-module generic (``numpy`` or ``jax.numpy``).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from touchline.soccer import tasks as t

UNIFORMS = 64
"""Uniform random numbers in [0, 1) that one reset consumes, shape (n, UNIFORMS)."""


class Episode(NamedTuple):
    """A batch of episodes; a NamedTuple so that JAX sees a pytree."""

    task: Any
    """One-hot of the task, shape (n, 3)."""
    target: Any
    """World position of the target, metres, shape (n, 3); unused in the goalie task."""
    defenders: Any
    """World positions of the three defenders, metres, shape (n, 9); used in the obstacle task."""
    origin: Any
    """Where on the ground the robot started, metres, shape (n, 2)."""
    touched: Any
    """Whether the ball has been kicked by now, shape (n,)."""
    scored: Any
    """Whether it has been where the task wants it by now, shape (n,)."""


class Start(NamedTuple):
    """Joint-space start of a batch of episodes."""

    root: Any
    """Free joint of the robot: position (m) and quaternion w, x, y, z; shape (n, 7)."""
    root_velocity: Any
    """Linear (m/s) and angular (rad/s) velocity of the robot; shape (n, 6)."""
    joints: Any
    """Joint angles, radians, shape (n, 12)."""
    ball: Any
    """Free joint of the ball, shape (n, 7)."""


def sample(
    uniform: Any, task: Any, *, joint_noise: float, velocity_noise: float, xp: ModuleType = np
) -> tuple[Episode, Start]:
    """Draw episodes as the official environments do, plus declared noise on joints and base velocity.

    Args:
        uniform: random numbers in [0, 1), shape (n, UNIFORMS).
        task: index of the task of each episode, shape (n,).
        joint_noise: half-width of the uniform noise on the straight start pose, radians.
        velocity_noise: half-width of the uniform noise on the base's horizontal velocity, m/s.
    """
    n = uniform.shape[0]
    zeros = xp.zeros((n,))
    kick = (task == 2).astype(uniform.dtype)
    length, width = t.FIELD_LENGTH - 0.5, t.FIELD_WIDTH - 0.5

    free_x, free_y = (2 * uniform[:, 0] - 1) * length, (2 * uniform[:, 1] - 1) * width
    free_yaw = xp.arctan2(-free_y, -free_x)
    distance = 0.5 + 1.5 * uniform[:, 2]
    robot_x = kick * free_x + (1 - kick) * (t.PENALTY_SPOT_X + t.PENALTY_RUN_UP)
    robot_y = kick * free_y
    yaw = kick * free_yaw + (1 - kick) * np.pi
    ball_x = kick * (free_x + distance * xp.cos(free_yaw)) + (1 - kick) * t.PENALTY_SPOT_X
    ball_y = kick * (free_y + distance * xp.sin(free_yaw))

    offset = 2.0 + 1.5 * uniform[:, 3]
    side = xp.where(free_y > width - offset, -1.0, xp.where(free_y < offset - width, 1.0, 0.0))
    side = xp.where(side == 0.0, xp.where(uniform[:, 4] > 0.5, 1.0, -1.0), side)
    gaps = xp.argsort(uniform[:, 5:9], axis=-1)
    lanes = -(t.GOAL_WIDTH - 0.04) + (2 * gaps + 1) * (t.GOAL_WIDTH - 0.04) / 4
    window_z = 0.2 + 0.44 + (t.GOAL_HEIGHT - 0.94) * uniform[:, 9]
    target = xp.stack(
        [
            xp.where(task == 2, (2 * uniform[:, 10] - 1) * length, -t.FIELD_LENGTH),
            xp.where(task == 2, free_y + side * offset, lanes[:, 3]),
            xp.where(task == 2, 0.001, window_z),
        ],
        axis=-1,
    )
    defenders = xp.stack([c for i in range(3) for c in (zeros - t.FIELD_LENGTH, lanes[:, i], zeros + 0.6)], axis=-1)
    noise = 2 * uniform[:, 16:34] - 1
    start = Start(
        root=xp.stack(
            [robot_x, robot_y, zeros + t.SPAWN_HEIGHT, xp.cos(yaw / 2), zeros, zeros, xp.sin(yaw / 2)], axis=-1
        ),
        root_velocity=xp.concatenate([velocity_noise * noise[:, :2], xp.zeros((n, 4))], axis=-1),
        joints=joint_noise * noise[:, 2:14],
        ball=xp.stack([ball_x, ball_y, zeros, zeros + 1, zeros, zeros, zeros], axis=-1),
    )
    one_hot = (task[:, None] == xp.arange(3)[None]).astype(np.float32)
    touched, scored = xp.zeros((n,), dtype=bool), xp.zeros((n,), dtype=bool)
    return Episode(one_hot, target, defenders, start.root[:, :2], touched, scored), start
