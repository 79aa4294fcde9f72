"""How a policy's action becomes torque: a residual on a pose, followed by PD at the physics rate.

The gains and the pose travel with every policy: the same weights under other gains are another robot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import unknown

JOINTS: tuple[str, ...] = tuple(
    f"{side}_{joint}"
    for side in ("Left", "Right")
    for joint in ("Hip_Pitch", "Hip_Roll", "Hip_Yaw", "Knee_Pitch", "Ankle_Pitch", "Ankle_Roll")
)
"""The 12 actuated joints of the lower T1, in the order of actions and observations."""

_LOWER = (-1.8, -0.3, -1.0, 0.0, -0.87, -0.44) + (-1.8, -1.57, -1.0, 0.0, -0.87, -0.44)
_UPPER = (1.57, 1.57, 1.0, 2.34, 0.35, 0.44) + (1.57, 0.3, 1.0, 2.34, 0.35, 0.44)
TORQUE_RANGE = (45.0, 45.0, 30.0, 65.0, 24.0, 15.0) * 2
"""Largest torque of every joint, N·m: the official control range."""


@dataclass(frozen=True)
class Controller:
    """PD control around a pose; all tuples have one value a joint, in the order of ``JOINTS``."""

    pose: tuple[float, ...]
    """Joint angles that action 0 holds, radians."""
    stiffness: tuple[float, ...]
    """Proportional gain, N·m/rad."""
    damping: tuple[float, ...]
    """Derivative gain, N·m·s/rad."""
    action_scale: tuple[float, ...]
    """How far action ±1 moves the target from the pose, radians."""
    decimation: int = 10
    """Physics steps a policy step: 10 steps of 2 ms make 50 Hz."""
    torque_limit: tuple[float, ...] = TORQUE_RANGE
    """Largest torque, N·m; the official control range."""
    joint_lower: tuple[float, ...] = _LOWER
    """Lowest target angle, radians; the robot's own joint limit."""
    joint_upper: tuple[float, ...] = _UPPER
    """Highest target angle, radians."""

    def target(self, action: Any, xp: ModuleType = np) -> Any:
        """Return joint targets in radians, shape (..., 12), for actions in [-1, 1], shape (..., 12).

        ``xp`` is ``numpy`` or ``jax.numpy``.
        """
        goal = xp.asarray(self.pose) + xp.asarray(self.action_scale) * xp.clip(action, -1.0, 1.0)
        return xp.clip(goal, xp.asarray(self.joint_lower), xp.asarray(self.joint_upper))

    def action(self, target: NDArray[Any]) -> NDArray[Any]:
        """Return the actions, shape (..., 12), whose targets come nearest to ``target`` in radians."""
        return np.clip((target - np.asarray(self.pose)) / np.asarray(self.action_scale), -1.0, 1.0)

    def torque(self, target: NDArray[Any], position: NDArray[Any], velocity: NDArray[Any]) -> NDArray[Any]:
        """Return torques in N·m, shape (..., 12), from targets, angles (rad) and velocities (rad/s)."""
        wanted = np.asarray(self.stiffness) * (target - position) - np.asarray(self.damping) * velocity
        limit = np.asarray(self.torque_limit)
        return np.clip(wanted, -limit, limit)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, fit for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Controller:
        """Inverse of ``to_dict``."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


def stand_still() -> Controller:
    """Stiff ankles on a slightly bent pose: with action 0 the robot stands for the whole episode."""
    return Controller(
        pose=(-0.2, 0.0, 0.0, 0.4, -0.2, 0.0) * 2,
        stiffness=(200.0, 200.0, 200.0, 200.0, 200.0, 100.0) * 2,
        damping=(5.0, 5.0, 5.0, 5.0, 3.0, 2.0) * 2,
        action_scale=(0.5, 0.25, 0.25, 0.5, 0.5, 0.25) * 2,
    )


def soft_ankles() -> Controller:
    """The usual gains of T1 projects: with action 0 the robot falls after about 1.2 s, so it must balance."""
    return Controller(
        pose=(-0.2, 0.0, 0.0, 0.4, -0.25, 0.0) * 2,
        stiffness=(200.0, 200.0, 200.0, 200.0, 50.0, 50.0) * 2,
        damping=(5.0, 5.0, 5.0, 5.0, 1.0, 1.0) * 2,
        action_scale=(0.3, 0.15, 0.15, 0.3, 0.3, 0.15) * 2,
    )


def walk() -> Controller:
    """Stiff ankles on bent knees, room for whole steps, 25 actions a second: fewer and larger decisions to learn."""
    return Controller(
        pose=(-0.3, 0.0, 0.0, 0.6, -0.3, 0.0) * 2,
        stiffness=(200.0, 200.0, 200.0, 200.0, 200.0, 100.0) * 2,
        damping=(5.0, 5.0, 5.0, 5.0, 3.0, 2.0) * 2,
        action_scale=(0.6, 0.3, 0.3, 0.7, 0.5, 0.3) * 2,
        decimation=20,
    )


CONTROLLERS = {"stand_still": stand_still, "soft_ankles": soft_ankles, "walk": walk}
"""Controllers by the name that a config may use."""


def controller_named(name: str) -> Controller:
    """Return a named controller; raises UsageError with the nearest name when there is none."""
    if name not in CONTROLLERS:
        raise unknown("controller", name, CONTROLLERS)
    return CONTROLLERS[name]()
