"""The referee reads contacts only where the ball can have any."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.referee import _reach


@pytest.mark.parametrize("task", ["goalie_penalty_kick", "obstacle_penalty_kick"])
def test_no_pose_reaches_further_than_the_referee_looks(task: str) -> None:
    env = OfficialEnv(task, stand_still())
    env.reset(seed=0)
    model, data = env.model, env.data
    geoms = [i for i in range(model.ngeom) if model.body(model.geom_bodyid[i]).name.startswith("robot_0:")]
    hip = model.joint("robot_0:Left_Hip_Pitch").qposadr[0]
    imu = data.site_xpos[model.site("robot_0:imu").id]
    random, furthest = np.random.default_rng(0), 0.0
    for _ in range(1_000):
        data.qpos[hip : hip + 12] = random.uniform(-np.pi, np.pi, 12)
        mujoco.mj_kinematics(model, data)
        distances = np.linalg.norm(data.geom_xpos[geoms] - imu, axis=1) + model.geom_rbound[geoms]
        furthest = max(furthest, float(distances.max()))
    reach = _reach(model, "robot_0:imu", frozenset(geoms))
    assert furthest < reach < furthest + 0.2  # further would cost speed, and nothing else
