"""By how much sensors are wrong: the noise of training under randomisation and of perturbed official episodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from touchline.soccer.layout import FIELDS

OBSERVATION_NOISE: Mapping[str, float] = {
    "joint_position": 0.01,
    "joint_velocity": 0.5,
    "projected_gravity": 0.02,
    "gyro": 0.1,
    "accelerometer": 0.5,
    "velocimeter": 0.1,
    "goal_team_0_rel_robot": 0.05,
    "goal_team_1_rel_robot": 0.05,
    "goal_team_0_rel_ball": 0.05,
    "goal_team_1_rel_ball": 0.05,
    "ball_xpos_rel_robot": 0.05,
    "ball_velp_rel_robot": 0.1,
    "ball_velr_rel_robot": 0.2,
    "player_team": 0.0,
    "goalkeeper_team_0_xpos_rel_robot": 0.05,
    "goalkeeper_team_0_velp_rel_robot": 0.1,
    "goalkeeper_team_1_xpos_rel_robot": 0.05,
    "goalkeeper_team_1_velp_rel_robot": 0.1,
    "target_xpos_rel_robot": 0.05,
    "target_velp_rel_robot": 0.1,
    "defender_xpos": 0.05,
    "task_index": 0.0,
}
"""Standard deviation by observation field at a noise of 1, in the field's own unit: what encoders, an inertial
unit and a camera are wrong by. What the robot is told (its team, the task) is exact."""


def standard_deviations() -> NDArray[np.float64]:
    """Return the standard deviation of each number of the observation at a noise of 1, shape (89,)."""
    return np.concatenate([np.full(field.size, OBSERVATION_NOISE[field.name]) for field in FIELDS])
