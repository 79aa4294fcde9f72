"""The referee: counts contacts, pays the official dense reward and ends the episode, once a physics step.

It says exactly what the official ``compute_reward`` and ``compute_terminated`` say, to the last bit, at a
fraction of their cost: names are resolved once, contacts are read only where the ball can have any, and the reward
is reckoned for all physics steps of a policy step at once. Where rounding matters the official expression is kept,
``float32`` included.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

_SLACK = 0.05
"""Metres added to the distance from which on the ball cannot touch something."""


class Referee(Protocol):
    """Judges one simulation of an official environment; call ``watch`` after every physics step."""

    touches: int
    """How often in the episode the robot began to touch the ball; officially only penalties count these *hits*."""

    def reset(self) -> None:
        """Start a new episode, right after the environment's own reset."""

    def watch(self) -> bool:
        """See the physics step just done; returns whether it ended the episode."""

    def pay(self) -> float:
        """Return the dense reward of the physics steps watched since the last call, summed in their order."""

    def terms(self) -> dict[str, float]:
        """Return the official reward terms of the step last watched; call after ``pay``."""


def referee_for(env: Any, model: mujoco.MjModel, data: mujoco.MjData) -> Referee:
    """Return the referee of a simulation of an official environment, chosen by what is kicked at."""
    kind = PenaltyReferee if hasattr(env, "ball_hits_by_robot") else TargetReferee
    return kind(env, model, data)


class _Field:
    """What both referees watch: the ball, the robot's imu and the lines, as live views of the simulation."""

    def __init__(self, env: Any, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.env, self.model, self.data = env, model, data
        self.ball = data.site_xpos[model.site("ball").id]
        self.imu = data.site_xpos[model.site(env._root_site).id]
        self.qpos, self.qvel = data.qpos, data.qvel
        self.fall_height = float(env.robots[0].standing_height[0])
        lines = env.parameters_dict["env_parameters"]
        self.length, self.width = lines["field"]["length"], lines["field"]["width"]
        self.goal = lines["goal"]
        self.ball_geom: int = model.geom("ball").id
        bodies = [i for i in range(model.nbody) if env.robots[0].name_prefix in model.body(i).name]
        self.robot_geoms = frozenset(np.flatnonzero(np.isin(model.geom_bodyid, bodies)).tolist())
        self.ball_size = 2 * float(model.geom_rbound[self.ball_geom])  # its site lies one radius off its centre
        self.reach = _reach(model, env._root_site, self.robot_geoms) + self.ball_size + _SLACK

    def met_by_ball(self) -> set[int]:
        """Geoms that the ball is in contact with."""
        ball, met = self.ball_geom, set()
        for first, second in self.data.contact.geom.tolist():
            if first == ball or second == ball:
                met.add(second if first == ball else first)
        return met

    def lost(self) -> bool:
        """Whether the robot has fallen or the state holds a NaN: a sum of squares is NaN exactly then."""
        return self.fallen() or math.isnan(self.qpos.dot(self.qpos) + self.qvel.dot(self.qvel))

    def fallen(self) -> bool:
        return not self.fall_height < self.imu.item(2)

    def outside(self, x: float, y: float) -> bool:
        return bool(x < -self.length or x > self.length or y < -self.width or y > self.width)


class PenaltyReferee:
    """Judges the goalie's and the obstacles' penalty kick."""

    def __init__(self, env: Any, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._field = _Field(env, model, data)
        with_wall = hasattr(env, "goal_site")
        whole = env.sim.model._model
        blockers = [whole.geom(i).name for i in (env.goalkeeper_geom_ids if with_wall else [env.keeper_id])]
        self._blockers = frozenset(int(model.geom(name).id) for name in blockers)
        self._gap = data.site_xpos[model.site(env.goal_site).id] if with_wall else None
        self._weights = env.reward_config
        self._ball_site: int = model.site("ball").id
        self._jacobian = np.zeros((3, model.nv))
        self._apart = np.zeros(3)
        self._reach_of_blockers = max(float(model.geom_rbound[i]) for i in self._blockers) + self._field.ball_size
        self._reach_of_blockers += _SLACK
        self.reset()

    def reset(self) -> None:
        field = self._field
        self.touches, self._touching, self._hit_term = 0, False, 0.0
        goal_name = field.env.parameters_dict["team_parameters"][field.env.current_team]["goal"]["name"]
        self._goal = field.data.site_xpos[field.model.site(goal_name).id].tolist()
        # They move along y alone.
        lines = [float(field.data.geom_xpos[i, 0]) for i in self._blockers]
        self._near_low, self._near_high = min(lines) - self._reach_of_blockers, max(lines) + self._reach_of_blockers
        self._distances: list[float] = []
        self._speeds: list[float] = []
        self._hit_terms: list[float] = []
        self._first_hit_step: int | None = None
        self._distance: Any = np.float32(0.0)
        self._speed = 0.0
        self._offside, self._fallen, self._scored, self._blocked = False, False, False, False

    def watch(self) -> bool:
        field, apart = self._field, self._apart
        x, y, z = field.ball.tolist()
        np.subtract(field.imu, field.ball, out=apart)
        distance = math.sqrt(apart.dot(apart))
        if distance < field.reach or self._near_low < x < self._near_high:
            self._watch_contacts()
        else:
            self._touching = self._blocked = False
        self._distances.append(distance)
        self._hit_terms.append(self._hit_term)
        mujoco.mj_jacSite(field.model, field.data, self._jacobian, None, self._ball_site)
        self._speeds.append(-np.dot(self._jacobian, field.qvel)[0])
        self._scored = self._in_goal(x, y, z)
        self._offside = not self._scored and field.outside(x, y)
        return self._scored or self._offside or self._blocked or field.lost()

    def pay(self) -> float:
        weights, n = self._weights, len(self._distances)
        closeness = 1 - np.tanh(self._distances, dtype=np.float32)
        # The official order of terms: float32 addition does not commute.
        paid = np.zeros((n, 7))
        paid[:, 0] = weights["robot_distance_ball"] * closeness
        paid[:, 1] = np.multiply(weights["ball_vel_twd_goal"], self._speeds)
        paid[:, 3] = np.multiply(weights["ball_hits"], self._hit_terms)
        hit = n if not self.touches else 0 if self._first_hit_step is None else self._first_hit_step
        paid[hit:, 0] = weights["robot_distance_ball"] * 1.5
        # Each of these ends the episode, so only the last step can have it.
        self._fallen = self._field.fallen()
        paid[-1, 2] = weights["offside"] * self._offside
        paid[-1, 4] = weights["robot_fallen"] * self._fallen
        paid[-1, 5] = weights["goal_scored"] * self._scored
        paid[-1, 6] = weights["ball_blocked"] * self._blocked
        self._distance = 1.5 if self.touches else closeness[-1]
        self._speed = self._speeds[-1]
        self._distances.clear()
        self._speeds.clear()
        self._hit_terms.clear()
        self._first_hit_step = None
        return _summed(paid)

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
        met = self._field.met_by_ball()
        touching = not met.isdisjoint(self._field.robot_geoms)
        if touching and not self._touching:
            if not self.touches:
                self._first_hit_step = len(self._distances)
            self.touches += 1
            self._hit_term = float(np.log1p(max(0, self.touches - 1)))
        self._touching, self._blocked = touching, not met.isdisjoint(self._blockers)

    def _in_goal(self, x: float, y: float, z: float) -> bool:
        if self._gap is not None:
            # Only near the line is the official norm worth its microseconds.
            return abs(self._gap.item(0) - x) < 1.0 and bool(np.linalg.norm(self._gap - self._field.ball) < 0.3)
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

    def __init__(self, env: Any, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._field = _Field(env, model, data)
        self._weights = env.reward_config
        self.reset()

    def reset(self) -> None:
        self._target = np.array(self._field.env.goal_pos)
        self._centre = self._target.tolist()
        self._balls: list[list[float]] = []
        self._offside, self._success, self._closeness = False, False, 0.0
        self.touches, self._touching = 0, False

    def watch(self) -> bool:
        field = self._field
        ball = field.ball.tolist()
        self._balls.append(ball)
        # Only near the target is the official norm worth its microseconds.
        near = math.dist(ball, self._centre) < 1.0
        touching = math.dist(ball, field.imu.tolist()) < field.reach
        touching = touching and not field.met_by_ball().isdisjoint(field.robot_geoms)
        self.touches += touching and not self._touching
        self._touching = touching
        self._success = near and bool(np.linalg.norm(field.ball - self._target, axis=-1) < 0.4)
        self._offside = field.outside(ball[0], ball[1])
        return self._success or self._offside or field.lost()

    def pay(self) -> float:
        weights = self._weights
        closeness = np.exp(-np.linalg.norm(np.array(self._balls) - self._target, axis=-1))
        paid = np.zeros((len(closeness), 3))
        # The first two end the episode, so only the last step can have them.
        paid[-1, 0] = weights["offside"] * self._offside
        paid[-1, 1] = weights["success"] * self._success
        paid[:, 2] = weights["distance"] * closeness
        self._closeness = closeness[-1]
        self._balls.clear()
        return _summed(paid)

    def terms(self) -> dict[str, float]:
        field = self._field
        return {
            "offside": float(self._offside),
            "success": float(self._success),
            "distance": float(self._closeness),
            "robot_distance_ball": float(1 - np.tanh(np.linalg.norm(field.ball - field.imu))),
        }


def _summed(paid: NDArray[np.float64]) -> float:
    """Sum the terms of each step in float32, as the official step does, and the steps as they came."""
    total = 0.0
    for reward in np.add.reduce(paid, axis=1, dtype=np.float32).tolist():
        total += reward
    return total


def _reach(model: mujoco.MjModel, site: str, geoms: frozenset[int]) -> float:
    """Return how far from ``site`` any of ``geoms`` can extend, however the joints between them turn, metres.

    Along the chain of bodies from the site's to the geom's every offset, of a joint's anchor twice, points straight
    away from the site at worst.
    """
    anchor = model.site(site)

    def extent(geom: int) -> float:
        body, length = int(model.geom_bodyid[geom]), float(np.linalg.norm(model.geom_pos[geom]))
        while body != anchor.bodyid[0]:
            joints = slice(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body])
            length += float(np.linalg.norm(model.body_pos[body]))
            length += 2 * float(np.linalg.norm(model.jnt_pos[joints], axis=-1).sum())
            body = int(model.body_parentid[body])
            if body == 0:
                raise ValueError(f"geom {geom} hangs on no body of the site {site}")
        return length + float(model.geom_rbound[geom])

    return max(extent(geom) for geom in geoms) + float(np.linalg.norm(anchor.pos))
