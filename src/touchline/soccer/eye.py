"""What a policy sees of an official environment: the 89 numbers of ``layout.FIELDS``."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.soccer.control import JOINTS
from touchline.soccer.observation import LAYOUT, OBSERVATION_SIZE, projected_gravity
from touchline.soccer.tasks import TASKS

_SENSORS = {"gyro": "torso_gyro", "accelerometer": "accelerometer", "velocimeter": "torso_vel"}


class Eye:
    """Reads the observation of a simulation of an official environment as it stands, with every official quirk."""

    def __init__(self, official: Any, model: mujoco.MjModel, data: mujoco.MjData, task_index: int) -> None:
        """``official`` is unwrapped; ``task_index`` is the place of its task in ``TASKS``."""
        self._official, self._model, self._data = official, model, data
        self._robot, self._ball = int(model.site(official._root_site).id), int(model.site("ball").id)
        goals = [int(model.site(f"goal_post_{side}").id) for side in ("south", "north")]
        found = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, f"defender_geom{i}") for i in range(3)]
        # What a task lacks stands where the robot does.
        keepers = [self._site_or_robot(f"goalkeeper_team_{team}_site") for team in (0, 1)]
        target = self._site_or_robot(official.target_name)
        self._relative = {
            "ball_xpos_rel_robot": (self._ball, self._robot),
            "target_xpos_rel_robot": (target, self._robot),
            **{f"goal_team_{team}_rel_robot": (goal, self._robot) for team, goal in enumerate(goals)},
            **{f"goal_team_{team}_rel_ball": (goal, self._ball) for team, goal in enumerate(goals)},
            **{
                f"goalkeeper_team_{team}_xpos_rel_robot": (keeper, self._robot) for team, keeper in enumerate(keepers)
            },
        }
        self._from = [first for first, _ in self._relative.values()]
        self._to = [second for _, second in self._relative.values()]
        self._velocities = {
            "target_velp_rel_robot": target,
            **{f"goalkeeper_team_{team}_velp_rel_robot": keeper for team, keeper in enumerate(keepers)},
        }
        self._defenders = [data.geom_xpos[i] if i >= 0 else data.site_xpos[self._robot] for i in found]
        legs = [model.joint(f"robot_0:{name}") for name in JOINTS]
        self._copied: dict[str, NDArray[np.float64]] = {
            "joint_position": data.qpos[legs[0].qposadr[0] : legs[-1].qposadr[0] + 1],
            "joint_velocity": data.qvel[legs[0].dofadr[0] : legs[-1].dofadr[0] + 1],
            **{field: data.sensor(f"robot_0:{sensor}").data for field, sensor in _SENSORS.items()},
        }
        self._quaternion = data.sensor("robot_0:torso_quat").data
        self._linear, self._angular = np.zeros((2, 3, model.nv))
        self._values = np.zeros(OBSERVATION_SIZE)
        self._values[LAYOUT["task_index"]] = np.eye(len(TASKS))[task_index]
        self.reset()

    def reset(self) -> None:
        """Start a new episode, right after the environment's own reset."""
        self._values[LAYOUT["player_team"]] = (1.0, 0.0) if self._official.current_team == 0 else (0.0, 1.0)

    def observe(self) -> NDArray[np.float32]:
        """Return the observation, shape (89,), float32."""
        values, sites = self._values, self._data.site_xpos
        for field, part in self._copied.items():
            values[LAYOUT[field]] = part
        values[LAYOUT["projected_gravity"]] = projected_gravity(self._quaternion.astype(np.float32))
        for field, difference in zip(self._relative, sites[self._from] - sites[self._to], strict=True):
            values[LAYOUT[field]] = difference
        velocity, spin = self._velocity(self._robot)
        ball_velocity, ball_spin = self._velocity(self._ball)
        values[LAYOUT["ball_velp_rel_robot"]] = ball_velocity - velocity
        values[LAYOUT["ball_velr_rel_robot"]] = ball_spin - spin
        for field, site in self._velocities.items():
            values[LAYOUT[field]] = 0.0 if site == self._robot else self._linear_velocity(site) - velocity
        values[LAYOUT["defender_xpos"]] = np.concatenate(self._defenders)
        return values.astype(np.float32)

    def _velocity(self, site: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Linear and angular velocity of a site as the official wrapper computes them: Jacobian of the state
        before the step, velocities of the state after it."""
        mujoco.mj_jacSite(self._model, self._data, self._linear, self._angular, site)
        return np.dot(self._linear, self._data.qvel), np.dot(self._angular, self._data.qvel)

    def _linear_velocity(self, site: int) -> NDArray[np.float64]:
        mujoco.mj_jacSite(self._model, self._data, self._linear, None, site)
        return np.asarray(np.dot(self._linear, self._data.qvel))

    def _site_or_robot(self, name: str) -> int:
        found = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SITE, name)
        return found if found >= 0 else self._robot
