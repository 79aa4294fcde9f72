"""What a policy sees of an official environment: the 89 numbers of ``layout.FIELDS``."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.soccer import observation as layout
from touchline.soccer.control import JOINTS
from touchline.soccer.tasks import TASKS


class Eye:
    """Reads the observation of an official environment as it stands, with every official quirk."""

    def __init__(self, official: Any, task_index: int) -> None:
        """``official`` is unwrapped; ``task_index`` is the place of its task in ``TASKS``."""
        self._official = official
        self._model, self._data = official.sim.model._model, official.sim.data._data
        self._task = np.eye(len(TASKS))[task_index]
        self._jacobian = np.zeros((3, self._model.nv))
        self._legs = [self._model.joint(f"robot_0:{name}") for name in JOINTS]
        self._robot = self._site(official._root_site)
        self._ball = self._site("ball")
        self._goals = [self._site("goal_post_south"), self._site("goal_post_north")]
        self._keepers = [self._site_or_robot(f"goalkeeper_team_{team}_site") for team in (0, 1)]
        self._target = self._site_or_robot(official.target_name)
        names = [f"defender_geom{i}" for i in range(3)]
        found = [mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
        positions = self._data.geom_xpos
        self._defenders = [positions[i] if i >= 0 else self._data.site_xpos[self._robot] for i in found]

    def observe(self) -> NDArray[np.float32]:
        """Return the observation, shape (89,), float32."""
        data, sites = self._data, self._data.site_xpos
        robot, ball = sites[self._robot], sites[self._ball]
        robot_velocity, robot_spin = self._velocity(self._robot)
        ball_velocity, ball_spin = self._velocity(self._ball)
        quaternion = data.sensor("robot_0:torso_quat").data.astype(np.float32)
        fields = {
            "joint_position": data.qpos[[leg.qposadr[0] for leg in self._legs]],
            "joint_velocity": data.qvel[[leg.dofadr[0] for leg in self._legs]],
            "projected_gravity": layout.projected_gravity(quaternion),
            "gyro": data.sensor("robot_0:torso_gyro").data,
            "accelerometer": data.sensor("robot_0:accelerometer").data,
            "velocimeter": data.sensor("robot_0:torso_vel").data,
            "ball_xpos_rel_robot": ball - robot,
            "ball_velp_rel_robot": ball_velocity - robot_velocity,
            "ball_velr_rel_robot": ball_spin - robot_spin,
            "player_team": (1.0, 0.0) if self._official.current_team == 0 else (0.0, 1.0),
            "target_xpos_rel_robot": sites[self._target] - robot,
            "target_velp_rel_robot": self._velocity(self._target)[0] - robot_velocity,
            "defender_xpos": np.concatenate(self._defenders),
            "task_index": self._task,
        }
        for team, (goal, keeper) in enumerate(zip(self._goals, self._keepers, strict=True)):
            fields[f"goal_team_{team}_rel_robot"] = sites[goal] - robot
            fields[f"goal_team_{team}_rel_ball"] = sites[goal] - ball
            fields[f"goalkeeper_team_{team}_xpos_rel_robot"] = sites[keeper] - robot
            fields[f"goalkeeper_team_{team}_velp_rel_robot"] = self._velocity(keeper)[0] - robot_velocity
        return np.asarray(layout.assemble(fields), dtype=np.float32)

    def _velocity(self, site: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Linear and angular velocity of a site as the official wrapper computes them: Jacobian of the state
        before the step, velocities of the state after it."""
        linear, angular = self._jacobian, np.zeros_like(self._jacobian)
        mujoco.mj_jacSite(self._model, self._data, linear, angular, site)
        return np.dot(linear, self._data.qvel), np.dot(angular, self._data.qvel)

    def _site(self, name: str) -> int:
        return int(self._model.site(name).id)

    def _site_or_robot(self, name: str) -> int:
        found = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SITE, name)
        return found if found >= 0 else self._robot
