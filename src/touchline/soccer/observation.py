"""The official observation, field by field, in one place for every backend.

86 values shared by the three official environments in the order of the competition's preprocessor, then a
one-hot of the task. The quirks are the official ones: relative vectors stay in the world frame; sites and
sensors are of the state *before* the physics step, joint angles and velocities of the state after it; the
ball's site lies on the ground, one radius below its centre; defenders are absolute; whatever a task lacks
falls back to the robot's own position (relative 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

FIELDS: tuple[tuple[str, int], ...] = (
    ("joint_position", 12),
    ("joint_velocity", 12),
    ("projected_gravity", 3),
    ("gyro", 3),
    ("accelerometer", 3),
    ("velocimeter", 3),
    ("goal_team_0_rel_robot", 3),
    ("goal_team_1_rel_robot", 3),
    ("goal_team_0_rel_ball", 3),
    ("goal_team_1_rel_ball", 3),
    ("ball_xpos_rel_robot", 3),
    ("ball_velp_rel_robot", 3),
    ("ball_velr_rel_robot", 3),
    ("player_team", 2),
    ("goalkeeper_team_0_xpos_rel_robot", 3),
    ("goalkeeper_team_0_velp_rel_robot", 3),
    ("goalkeeper_team_1_xpos_rel_robot", 3),
    ("goalkeeper_team_1_velp_rel_robot", 3),
    ("target_xpos_rel_robot", 3),
    ("target_velp_rel_robot", 3),
    ("defender_xpos", 9),
    ("task_index", 3),
)
"""Names and sizes in order; lengths in metres, angles in radians, velocities per second."""


def _layout() -> dict[str, slice]:
    slices, start = {}, 0
    for name, size in FIELDS:
        slices[name] = slice(start, start + size)
        start += size
    return slices


LAYOUT: Mapping[str, slice] = _layout()
"""Where each field lies in the observation vector."""
OBSERVATION_SIZE = sum(size for _, size in FIELDS)
"""89: 86 official values and the one-hot of three tasks."""


def projected_gravity(quaternion: Any, xp: ModuleType = np) -> Any:
    """Return the unit gravity vector in the body frame, shape (..., 3).

    ``quaternion`` is w, x, y, z, shape (..., 4), as MuJoCo stores it (the official info has x, y, z, w). The
    result is minus the third row of the rotation matrix.
    """
    w, x, y, z = (quaternion[..., i] for i in range(4))
    return xp.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), -(1 - 2 * (x * x + y * y))], axis=-1)


def assemble(fields: Mapping[str, Any], xp: ModuleType = np) -> Any:
    """Concatenate the named fields, each of shape (..., size), into float32 of shape (..., 89).

    ``xp`` is ``numpy`` or ``jax.numpy``: native, MJX and the official environment share this line.
    """
    return xp.concatenate([xp.asarray(fields[name]) for name, _ in FIELDS], axis=-1).astype(np.float32)
