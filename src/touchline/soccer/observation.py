"""The official observation from a scene's state: one code for NumPy and JAX, laid out as ``layout.FIELDS`` says.

The quirks are the official ones. Positions and sensors are of the state *before* the physics step; joint angles
and all velocities but the sensors' are of the state after it. Gate 1 compares with recorded official observations.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.soccer import tasks as t
from touchline.soccer.episode import Episode
from touchline.soccer.goalkeeper import goalkeeper_seen
from touchline.soccer.layout import FIELDS, LAYOUT, OBSERVATION_SIZE

if TYPE_CHECKING:
    from touchline.soccer.scene import SceneIndex

__all__ = ["FIELDS", "LAYOUT", "OBSERVATION_SIZE", "assemble", "observe", "projected_gravity", "to_world"]


def projected_gravity(quaternion: Any, xp: ModuleType = np) -> Any:
    """Return the unit gravity vector in the body frame, shape (..., 3).

    ``quaternion`` is w, x, y, z, shape (..., 4), as MuJoCo stores it (the official info has x, y, z, w). The
    result is minus the third row of the rotation matrix.
    """
    w, x, y, z = (quaternion[..., i] for i in range(4))
    return xp.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), -(1 - 2 * (x * x + y * y))], axis=-1)


def to_world(quaternion: Any, vector: Any, xp: ModuleType = np) -> Any:
    """Turn vectors of a body's frame into the world frame, shape (..., 3); ``quaternion`` is w, x, y, z."""
    w, x, y, z = (quaternion[..., i] for i in range(4))
    a, b, c = (vector[..., i] for i in range(3))
    # v + w t + u × t with t = 2 u × v; written out because np.cross takes twice as long.
    ta, tb, tc = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)
    return xp.stack(
        [a + w * ta + y * tc - z * tb, b + w * tb + z * ta - x * tc, c + w * tc + x * tb - y * ta], axis=-1
    )


def assemble(fields: Mapping[str, Any], xp: ModuleType = np) -> Any:
    """Concatenate the named fields, each of shape (..., size), into float32 of shape (..., 89).

    ``xp`` is ``numpy`` or ``jax.numpy``: native, MJX and the official environment share this line.
    """
    return xp.concatenate([xp.asarray(fields[field.name]) for field in FIELDS], axis=-1).astype(np.float32)


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

    robot, ball = read("position"), read("ball_position")
    # The official velocities are the Jacobian before the step times the velocities after it. Both sites lie at the
    # origin of a free body, so that is the linear velocity as it stands and the spin turned into the world frame;
    # the step turns the body about this very axis, so the orientation after it serves as well as the one before.
    root_velocity, ball_velocity = qvel[:, index.root_velocity], qvel[:, index.ball_velocity]
    robot_velocity = root_velocity[:, :3]
    robot_spin = to_world(qpos[:, index.root_position][:, 3:], root_velocity[:, 3:], xp)
    ball_spin = to_world(qpos[:, index.ball_position][:, 3:], ball_velocity[:, 3:], xp)
    south, north = xp.asarray(t.GOAL_SOUTH), xp.asarray(t.GOAL_NORTH)
    nothing = xp.zeros_like(robot)
    goalie, obstacle, kick = (episode.task[:, i : i + 1] for i in range(3))

    y, y_velocity = goalkeeper_seen(time, xp)
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
            "ball_velp_rel_robot": ball_velocity[:, :3] - robot_velocity,
            "ball_velr_rel_robot": ball_spin - robot_spin,
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
