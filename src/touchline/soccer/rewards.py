"""Dense training rewards as named pure terms; a recipe chooses weights, the log shows every term."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from touchline.soccer.scene import SceneIndex


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


def reward_terms(
    qvel: Any,
    sensors: Any,
    index: SceneIndex,
    *,
    fallen: Any,
    action: Any,
    previous_action: Any,
    xp: ModuleType = np,
) -> dict[str, Any]:
    """Return each term, shape (n,).

    Args:
        qvel: velocities after the policy step, shape (n, nv).
        sensors: sensor readings of its last physics step, shape (n, nsensordata).
        index: where the scene keeps its parts.
        fallen: whether the robot fell in this step, shape (n,).
        action: in [-1, 1], shape (n, 12); ``previous_action`` likewise.
        xp: ``numpy`` or ``jax.numpy``.
    """

    def read(name: str) -> Any:
        return sensors[:, index.sensors[name]]

    to_ball = read("ball_position") - read("position")
    return {
        "alive": 1.0 - fallen,
        "upright": xp.clip(read("upvector")[:, 2], 0.0, 1.0),
        "still": xp.exp(-4.0 * (read("global_linvel")[:, :2] ** 2).sum(-1)),
        "calm": (qvel[:, index.joint_velocity] ** 2).mean(-1),
        "effort": (action**2).mean(-1),
        "smooth": ((action - previous_action) ** 2).mean(-1),
        "approach": 1.0 - xp.tanh(xp.sqrt((to_ball**2).sum(-1))),
    }
