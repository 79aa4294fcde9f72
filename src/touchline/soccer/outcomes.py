"""What an episode of the training scene has come to: the figures by which people judge, beside the reward.

The scene ends an episode with a fall alone, so a goal here does not end it; the official environments judge by
themselves (``referee``).
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from touchline.soccer import tasks as t
from touchline.soccer.episode import Episode

if TYPE_CHECKING:
    from touchline.simulation.world import Physics
    from touchline.soccer.scene import SceneIndex

KICKED_SPEED = 0.1
"""A ball that rolls faster than this over the ground has been touched, m/s: nothing else moves it."""
_NEAR_GAP, _NEAR_TARGET = 0.3, 0.4
"""How close to the gap between the defenders, and to the target, the ball has to come, metres: as officially."""


def remember(physics: Physics, episode: Episode, index: SceneIndex, xp: ModuleType) -> Episode:
    """Return ``episode`` with what a policy step added to it; ``physics`` has one leading axis."""
    rolling = physics.qvel[:, index.ball_velocity][:, :2]
    ball = physics.sensors[:, index.sensors["ball_position"]]
    return episode._replace(
        touched=episode.touched | ((rolling**2).sum(-1) > KICKED_SPEED**2),
        scored=episode.scored | in_goal(ball, episode, xp),
    )


def in_goal(ball: Any, episode: Episode, xp: ModuleType) -> Any:
    """Return whether a ball at ``ball``, shape (n, 3), is where its task wants it, shape (n,)."""
    x, y, z = ball[:, 0], ball[:, 1], ball[:, 2]
    behind_line = (x <= -t.FIELD_LENGTH) & (abs(y) < t.GOAL_WIDTH) & (z < t.GOAL_HEIGHT)
    apart = ((ball - episode.target) ** 2).sum(-1)
    tasks = episode.task > 0
    return (
        (tasks[:, 0] & behind_line)
        | (tasks[:, 1] & (apart < _NEAR_GAP**2))
        | (tasks[:, 2] & (apart < _NEAR_TARGET**2))
    )


def outcomes(physics: Physics, episode: Episode, index: SceneIndex, xp: ModuleType) -> dict[str, Any]:
    """Return what the episodes have come to, each of shape (n,).

    ``fall``, ``touch`` and ``goal`` are truths, ``distance`` is how far over the ground the robot is from where it
    started, metres.
    """
    moved = physics.qpos[:, index.root_position][:, :2] - episode.origin
    return {
        "fall": physics.sensors[:, index.sensors["position"]][:, 2] <= t.FALL_HEIGHT,
        "touch": episode.touched,
        "goal": episode.scored,
        "distance": xp.sqrt((moved**2).sum(-1)),
    }
