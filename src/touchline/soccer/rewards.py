"""Dense training rewards as named pure terms; a recipe chooses weights, the log shows every term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import numpy as np


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
    *,
    fallen: Any,
    up: Any,
    base_velocity: Any,
    joint_velocity: Any,
    action: Any,
    previous_action: Any,
    ball_distance: Any,
    xp: ModuleType = np,
) -> dict[str, Any]:
    """Return each term, shape (n,).

    Args:
        fallen: whether the robot fell in this step, shape (n,).
        up: the trunk's z axis in the world frame, shape (n, 3).
        base_velocity: the trunk's world velocity, m/s, shape (n, 3).
        joint_velocity: rad/s, shape (n, 12).
        action: in [-1, 1], shape (n, 12); ``previous_action`` likewise.
        ball_distance: metres, shape (n,).
    """
    return {
        "alive": 1.0 - fallen,
        "upright": xp.clip(up[:, 2], 0.0, 1.0),
        "still": xp.exp(-4.0 * (base_velocity[:, :2] ** 2).sum(-1)),
        "calm": (joint_velocity**2).mean(-1),
        "effort": (action**2).mean(-1),
        "smooth": ((action - previous_action) ** 2).mean(-1),
        "approach": 1.0 - xp.tanh(ball_distance),
    }


def total(terms: Mapping[str, Any], weights: RewardWeights) -> Any:
    """Return the weighted sum of the terms, shape (n,)."""
    return sum(getattr(weights, field.name) * terms[field.name] for field in fields(weights))
