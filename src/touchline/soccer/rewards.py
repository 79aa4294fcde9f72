"""Dense training rewards as named pure terms; a recipe chooses weights, the log shows every term."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from touchline.soccer.outcomes import in_goal
from touchline.soccer.scene import FEET, STANDING_FOOT_HEIGHT
from touchline.soccer.tasks import FIELD_LENGTH, FIELD_WIDTH, GOAL_SOUTH, WALKING_SPEEDS

if TYPE_CHECKING:
    from touchline.simulation.world import Moves, Physics
    from touchline.soccer.episode import Episode
    from touchline.soccer.scene import SceneIndex

KICK_SPEED = 2.0
"""Speed of the ball beyond which nothing more is paid, m/s."""
LIFTED = 0.02
"""How far above its standing height a foot counts as fully in the air, metres."""


@dataclass(frozen=True)
class RewardWeights:
    """Weight of each term per policy step; 0 leaves a term out of the sum but it is still logged."""

    alive: float = 1.0
    """1 for every step that the robot has not fallen."""
    upright: float = 0.5
    """1 when the trunk is vertical, 0 when it is horizontal."""
    still: float = 0.5
    """exp(-4 v²) of the base's horizontal speed v in m/s: stand, do not drift."""
    calm: float = -0.02
    """Mean squared joint velocity, (rad/s)²."""
    effort: float = -0.1
    """Mean squared action."""
    smooth: float = -0.1
    """Mean squared change of the action since the last step."""
    approach: float = 0.0
    """1 - tanh of the distance to the ball in metres: the official dense term."""
    progress: float = 0.0
    """Horizontal velocity of the trunk to the ball, m/s, up to the task's ``WALKING_SPEEDS``, less what is beyond."""
    facing: float = 0.0
    """Cosine of the angle between where the trunk points and where the ball lies, seen from above."""
    stride: float = 0.0
    """The same of the feet that are in the air, on average: 0 for sliding, whatever the speed."""
    slip: float = 0.0
    """Mean squared horizontal velocity of those feet that are on the ground, (m/s)²."""
    sway: float = 0.0
    """Squared angular velocity of the trunk, (rad/s)²."""
    kick: float = 0.0
    """Velocity of the ball towards the middle of the goal or the target, m/s, no more than ``KICK_SPEED``; 0 where
    defenders guard the goal."""
    result: float = 0.0
    """1 while the ball lies where the task wants it, -1 while it lies out of the field: also behind the goal line
    where defenders guard it, whose gap begins higher than a rolling ball."""


def reward_terms(
    physics: Physics, episode: Episode, moves: Moves, index: SceneIndex, xp: ModuleType = np
) -> dict[str, Any]:
    """Return each term, shape (n,).

    Args:
        physics: after the policy step, one leading axis of n; its sensors are of the last physics step.
        episode: the batch's episodes.
        moves: what was done, and whether it ended in a fall.
        index: where the scene keeps its parts.
        xp: ``numpy`` or ``jax.numpy``.
    """

    def read(name: str) -> Any:
        return physics.sensors[:, index.sensors[name]]

    ball = read("ball_position")
    to_ball = ball - read("position")
    ahead, velocity = _direction(to_ball, xp), read("global_linvel")[:, :2]
    ball_velocity = physics.qvel[:, index.ball_velocity][:, :2]
    goalie = episode.task[:, :1]
    speed = episode.task @ xp.asarray(WALKING_SPEEDS)
    aim = goalie * xp.asarray(GOAL_SOUTH) + (1.0 - goalie) * episode.target
    stride, slip = 0.0, 0.0
    for foot in FEET:
        aloft = xp.clip((read(f"{foot}_position")[:, 2] - STANDING_FOOT_HEIGHT) / LIFTED, 0.0, 1.0)
        moving = read(f"{foot}_velocity")[:, :2]
        stride = stride + aloft * _along(moving, ahead) / len(FEET)
        slip = slip + (1.0 - aloft) * (moving**2).sum(-1) / len(FEET)
    out = (xp.abs(ball[:, 0]) > FIELD_LENGTH) | (xp.abs(ball[:, 1]) > FIELD_WIDTH)
    return {
        "alive": 1.0 - moves.ended,
        "upright": xp.clip(read("upvector")[:, 2], 0.0, 1.0),
        "still": xp.exp(-4.0 * (velocity**2).sum(-1)),
        "calm": (physics.qvel[:, index.joint_velocity] ** 2).mean(-1),
        "effort": (moves.action**2).mean(-1),
        "smooth": ((moves.action - moves.previous) ** 2).mean(-1),
        "approach": 1.0 - xp.tanh(xp.sqrt((to_ball**2).sum(-1))),
        "progress": _up_to(_along(velocity, ahead), speed, xp),
        "facing": _along(_direction(read("forwardvector"), xp), ahead),
        "stride": _up_to(stride, speed, xp),
        "slip": slip,
        "sway": (read("torso_gyro") ** 2).sum(-1),
        "kick": (1.0 - episode.task[:, 1])
        * xp.clip(_along(ball_velocity, _direction(aim - ball, xp)), -KICK_SPEED, KICK_SPEED),
        "result": xp.where(in_goal(ball, episode, xp), 1.0, xp.where(out, -1.0, 0.0)),
    }


def _up_to(velocity: Any, speed: Any, xp: ModuleType) -> Any:
    """Return the velocity up to ``speed`` less what is beyond it, no less than -speed: shape (n,)."""
    return xp.maximum(speed - xp.abs(velocity - speed), -speed)


def _direction(vector: Any, xp: ModuleType) -> Any:
    """Return the unit vector of (n, 3) seen from above, shape (n, 2)."""
    flat = vector[:, :2]
    return flat / (xp.sqrt((flat**2).sum(-1, keepdims=True)) + 1e-6)


def _along(vector: Any, direction: Any) -> Any:
    """Return the component of each vector, shape (n, 2), along its direction: shape (n,)."""
    return (vector * direction).sum(-1)
