"""The referee: counts contacts, pays the official dense reward and ends the episode, once a physics step.

It says exactly what the official ``compute_reward`` and ``compute_terminated`` say, to the last bit, at a
fraction of their cost: names are resolved once, contacts are read as one array, and the terms nobody pays for
are left until somebody asks. Where rounding matters the official expression is kept, ``float32`` included.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import mujoco
import numpy as np


class Referee(Protocol):
    """Judges one official environment; call ``judge`` after every ``mj_step2``."""

    def reset(self) -> None:
        """Start a new episode, after the environment's own reset."""

    def judge(self) -> tuple[float, bool]:
        """Return the dense reward of the physics step just done, and whether it ended the episode."""

    def terms(self) -> dict[str, float]:
        """Return the official reward terms of the step last judged."""


def referee_for(env: Any) -> Referee:
    """Return the referee of an official environment (unwrapped), chosen by what is kicked at."""
    return PenaltyReferee(env) if hasattr(env, "ball_hits_by_robot") else TargetReferee(env)


class _Field:
    """What both referees watch: the ball, the robot's imu and the lines, as live views of the simulation."""

    def __init__(self, env: Any) -> None:
        self.model, self.data = env.sim.model._model, env.sim.data._data
        self.env = env
        self.ball = self.data.site_xpos[self.model.site("ball").id]
        self.imu = self.data.site_xpos[self.model.site(env._root_site).id]
        self.qpos, self.qvel = self.data.qpos, self.data.qvel
        self.fall_height = env.robots[0].standing_height[0]
        lines = env.parameters_dict["env_parameters"]
        self.length, self.width = lines["field"]["length"], lines["field"]["width"]
        self.goal = lines["goal"]

    def broken(self) -> bool:
        """Whether the state holds a NaN: a sum of squares is NaN exactly then."""
        return math.isnan(self.qpos.dot(self.qpos) + self.qvel.dot(self.qvel))

    def fallen(self) -> bool:
        return not self.fall_height < float(self.imu[2])

    def outside(self, x: float, y: float) -> bool:
        return bool(abs(x) > self.length or abs(y) > self.width)


class PenaltyReferee:
    """Judges the goalie's and the obstacles' penalty kick."""

    def __init__(self, env: Any) -> None:
        self._field = field = _Field(env)
        model = field.model
        self._ball_geom: int = model.geom("ball").id
        self._robot_geoms = frozenset(env.robot_geom_ids)
        with_wall = hasattr(env, "goal_site")
        self._blockers = frozenset(env.goalkeeper_geom_ids if with_wall else [env.keeper_id])
        self._gap = field.data.site_xpos[model.site(env.goal_site).id] if with_wall else None
        self._weights = env.reward_config
        self._ball_site: int = model.site("ball").id
        self._jacobian = np.zeros((3, model.nv))
        self._paid = np.zeros(7)
        self.reset()

    def reset(self) -> None:
        field = self._field
        self._hits, self._touching, self._hit_term = 0, False, 0.0
        goal_name = field.env.parameters_dict["team_parameters"][field.env.current_team]["goal"]["name"]
        self._goal = field.data.site_xpos[field.model.site(goal_name).id].tolist()
        self._distance: Any = np.float32(0.0)
        self._speed, self._offside, self._fallen, self._scored, self._blocked = (
            0.0,
            False,
            False,
            False,
            False,
        )

    def judge(self) -> tuple[float, bool]:
        field, weights, paid = self._field, self._weights, self._paid
        x, y, z = field.ball.tolist()
        self._watch_contacts()
        self._scored = self._in_goal(x, y, z)
        self._offside = not self._scored and field.outside(x, y)
        self._fallen = field.fallen()
        if self._hits:
            self._distance = 1.5
        else:
            distance = np.linalg.norm(field.imu - field.ball)
            self._distance = 1 - np.tanh(distance, dtype=np.float32)
        mujoco.mj_jacSite(field.model, field.data, self._jacobian, None, self._ball_site)
        self._speed = -np.dot(self._jacobian, field.qvel)[0]
        # The official order of terms: float32 addition does not commute.
        paid[0] = weights["robot_distance_ball"] * self._distance
        paid[1] = weights["ball_vel_twd_goal"] * self._speed
        paid[2] = weights["offside"] * self._offside
        paid[3] = weights["ball_hits"] * self._hit_term
        paid[4] = weights["robot_fallen"] * self._fallen
        paid[5] = weights["goal_scored"] * self._scored
        paid[6] = weights["ball_blocked"] * self._blocked
        ended = self._scored or self._offside or self._blocked or self._fallen or field.broken()
        return float(np.add.reduce(paid, dtype=np.float32)), ended

    def terms(self) -> dict[str, float]:
        field = self._field
        terms = {
            "robot_distance_ball": float(self._distance),
            "ball_vel_twd_goal": float(self._speed),
            "offside": float(self._offside),
            "ball_hits": float(self._hit_term),
            "robot_fallen": float(self._fallen),
            "goal_scored": float(self._scored),
            "ball_blocked": float(self._blocked),
        }
        if self._gap is not None:
            terms["ball_distance_target"] = float(1 - np.tanh(np.linalg.norm(self._gap - field.ball)))
        return terms

    def _watch_contacts(self) -> None:
        """Count a hit when the robot's touch begins, and see whether the ball meets keeper or defenders."""
        ball, touching, blocked = self._ball_geom, False, False
        for first, second in self._field.data.contact.geom.tolist():
            if first == ball or second == ball:
                other = second if first == ball else first
                touching = touching or other in self._robot_geoms
                blocked = blocked or other in self._blockers
        if touching and not self._touching:
            self._hits += 1
            self._hit_term = float(np.log1p(max(0, self._hits - 1)))
        self._touching, self._blocked = touching, blocked

    def _in_goal(self, x: float, y: float, z: float) -> bool:
        if self._gap is not None:
            return bool(np.linalg.norm(self._gap - self._field.ball) < 0.3)
        goal_x, goal_y, goal_z = self._goal
        size = self._field.goal
        back = goal_x + size["depth"] if goal_x >= 0 else goal_x - size["depth"]
        return bool(
            min(goal_x, back) <= x <= max(goal_x, back)
            and goal_y - size["width"] <= y < goal_y + size["width"]
            and z < goal_z + size["height"]
        )


class TargetReferee:
    """Judges the kick to a target on the ground."""

    def __init__(self, env: Any) -> None:
        self._field = _Field(env)
        self._weights = env.reward_config
        self._paid = np.zeros(3)
        self.reset()

    def reset(self) -> None:
        self._target = self._field.env.goal_pos
        self._offside, self._success, self._closeness = False, False, 0.0

    def judge(self) -> tuple[float, bool]:
        field, weights, paid = self._field, self._weights, self._paid
        x, y, _ = field.ball.tolist()
        distance = np.linalg.norm(field.ball - self._target, axis=-1)
        self._closeness, self._success = np.exp(-distance), bool(distance < 0.4)
        self._offside = field.outside(x, y)
        paid[0] = weights["offside"] * self._offside
        paid[1] = weights["success"] * self._success
        paid[2] = weights["distance"] * self._closeness
        ended = self._success or self._offside or field.fallen() or field.broken()
        return float(np.add.reduce(paid, dtype=np.float32)), ended

    def terms(self) -> dict[str, float]:
        field = self._field
        return {
            "offside": float(self._offside),
            "success": float(self._success),
            "distance": float(self._closeness),
            "robot_distance_ball": float(1 - np.tanh(np.linalg.norm(field.ball - field.imu))),
        }
