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
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.soccer import tasks as t
from touchline.soccer.episode import Episode, goalkeeper

if TYPE_CHECKING:
    from touchline.soccer.scene import SceneIndex

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


def observe(
    qpos: Any, qvel: Any, sensors: Any, episode: Episode, time: Any, index: SceneIndex, xp: ModuleType = np
) -> Any:
    """Return the observation of the training scene, float32, shape (n, 89).

    Args:
        qpos: positions after the physics step, shape (n, nq).
        qvel: velocities after the physics step, shape (n, nv).
        sensors: sensor readings of that step (the state before its integration), shape (n, nsensordata).
        episode: the batch's episodes.
        time: seconds since reset, shape (n,).
        index: where the scene keeps its parts.
    """

    def read(name: str) -> Any:
        return sensors[:, index.sensors[name]]

    robot, robot_velocity = read("position"), read("global_linvel")
    ball = read("ball_position")
    south, north = xp.asarray(t.GOAL_SOUTH), xp.asarray(t.GOAL_NORTH)
    nothing = xp.zeros_like(robot)
    goalie, obstacle, kick = (episode.task[:, i : i + 1] for i in range(3))

    y, y_velocity = goalkeeper(time, xp)
    y_velocity = xp.where(time > 0, y_velocity, 0.0)  # the official goalkeepers stand still until the first step
    zeros = xp.zeros_like(y)
    keeper_velocity = xp.stack([zeros, y_velocity, zeros], axis=-1) - robot_velocity
    keepers = [xp.stack([zeros + side * t.FIELD_LENGTH, y, zeros + 0.2], axis=-1) - robot for side in (-1.0, 1.0)]
    has_target = obstacle + kick
    return assemble(
        {
            "joint_position": qpos[:, index.joint_position],
            "joint_velocity": qvel[:, index.joint_velocity],
            "projected_gravity": projected_gravity(read("torso_quat"), xp),
            "gyro": read("torso_gyro"),
            "accelerometer": read("accelerometer"),
            "velocimeter": read("torso_vel"),
            "goal_team_0_rel_robot": south - robot,
            "goal_team_1_rel_robot": north - robot,
            "goal_team_0_rel_ball": south - ball,
            "goal_team_1_rel_ball": north - ball,
            "ball_xpos_rel_robot": ball - robot,
            "ball_velp_rel_robot": read("ball_linear_velocity") - robot_velocity,
            "ball_velr_rel_robot": read("ball_angular_velocity") - read("global_angvel"),
            "player_team": xp.stack([zeros + 1, zeros], axis=-1),
            "goalkeeper_team_0_xpos_rel_robot": goalie * keepers[0],
            "goalkeeper_team_0_velp_rel_robot": goalie * keeper_velocity,
            "goalkeeper_team_1_xpos_rel_robot": goalie * keepers[1],
            "goalkeeper_team_1_velp_rel_robot": goalie * keeper_velocity,
            "target_xpos_rel_robot": has_target * (episode.target - robot),
            "target_velp_rel_robot": has_target * (nothing - robot_velocity),
            "defender_xpos": obstacle * episode.defenders + (1 - obstacle) * xp.tile(robot, (1, 3)),
            "task_index": episode.task,
        },
        xp,
    )
