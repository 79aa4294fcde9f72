"""A walking gait by the clock, with balance by feedback: the teacher whose steps a policy may begin from.

Nothing of it is deployed: a policy has no clock, and learns to tell the phase of a step from its own legs. The legs
lift and swing in turn; the leg on the ground holds the trunk upright by hip and ankle, the leg in the air is placed
by the trunk's velocity and turned towards the ball. The numbers were found in the training scene by the cross-entropy
method (Rubinstein 1999, doi:10.1023/A:1010091220143), see ``examples/find_gait.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.soccer.layout import LAYOUT

CRUISING_SPEED = 0.37
"""What the gait walks when nothing else is asked for, m/s."""
LARGEST_TURN = 0.4
"""Bearing of the ball beyond which a step turns no further, radians."""


@dataclass(frozen=True)
class Gait:
    """Joint targets of a walk towards the ball; angles in radians, gains as their units say."""

    frequency: float = 2.148
    """Strides (two steps) a second."""
    ramp: float = 0.6
    """Seconds in which the steps grow from nothing."""
    bend: float = 0.6279
    """Angle of a knee that carries."""
    lift: float = 0.652
    """By how much more the knee bends at the top of its swing."""
    duty: float = -0.0152
    """Sine of the phase above which the knee lifts."""
    stride: float = 0.0465
    """Angle by which a leg swings ahead and back."""
    ahead: float = -0.005
    """Angle of both legs ahead of the trunk."""
    lean: float = 0.036
    """Angle by which the hips lean the trunk forward at the cruising speed."""
    lean_by_speed: float = 0.65
    """How much more they lean per m/s of speed: the lean is what sets the speed."""
    sway: float = 0.0433
    """Angle by which both legs lean to the side of the leg that carries."""
    spread: float = -0.0114
    """Angle of each leg outwards."""
    speed: float = 0.4284
    """Speed at which the feet are placed as the stride says, m/s."""
    place_forward: float = -0.0681
    """A swinging leg's angle forward per m/s above that speed."""
    place_sideways: float = 0.3699
    """A swinging leg's angle sideways per m/s of sideways velocity."""
    hip_pitch: float = 0.968
    """Carrying hip's angle per radian of the trunk's pitch."""
    hip_pitch_rate: float = 0.0847
    """The same per rad/s."""
    hip_roll: float = 1.0772
    """Carrying hip's angle per radian of the trunk's roll."""
    hip_roll_rate: float = 0.1243
    """The same per rad/s."""
    ankle_pitch: float = 0.2728
    """Carrying ankle's angle per radian of the trunk's pitch."""
    ankle_pitch_rate: float = 0.0094
    """The same per rad/s."""
    turn: float = 0.5923
    """Swinging hip's yaw per radian of the ball's bearing."""
    turn_rate: float = 0.1008
    """How much of it is taken back per rad/s of the trunk's yaw rate."""

    def target(
        self,
        observation: NDArray[Any],
        bearing: NDArray[np.float64],
        seconds: NDArray[np.float64],
        speed: NDArray[np.float64] | float = CRUISING_SPEED,
    ) -> NDArray[np.float64]:
        """Return joint targets in radians, shape (n, 12), in the order of ``control.JOINTS``.

        Args:
            observation: what the policy sees, shape (n, 89).
            bearing: angle from where the trunk points to the ball, positive to the left, shape (n,).
            seconds: time since the episode began, shape (n,); the left leg swings first.
            speed: how fast to walk, m/s, shape (n,) or a number.
        """
        names = ("projected_gravity", "gyro", "velocimeter")
        gravity, gyro, velocity = (observation[:, LAYOUT[name]] for name in names)
        pitch, roll = (np.arcsin(np.clip(tilt, -1.0, 1.0)) for tilt in (gravity[:, 0], -gravity[:, 1]))
        phase, grown = 2 * np.pi * self.frequency * seconds, np.minimum(1.0, seconds / self.ramp)
        sway = self.sway * (0.5 + 0.5 * grown) * np.sin(phase)
        lean = self.lean + self.lean_by_speed * (speed - CRUISING_SPEED)
        legs = []
        for side, offset in ((1.0, 0.0), (-1.0, np.pi)):
            sine, cosine = np.sin(phase + offset), np.cos(phase + offset)
            in_the_air = np.clip(2.0 * sine, 0.0, 1.0)
            carries = 1.0 - in_the_air
            forward = (
                self.ahead
                - self.stride * grown * cosine
                + in_the_air * self.place_forward * (velocity[:, 0] - self.speed)
            )
            knee = self.bend + self.lift * grown * np.clip((sine - self.duty) / (1.0 - self.duty), 0.0, 1.0)
            sideways = side * self.spread + sway + in_the_air * self.place_sideways * velocity[:, 1]
            upright_pitch = self.hip_pitch * pitch + self.hip_pitch_rate * gyro[:, 1]
            upright_roll = self.hip_roll * roll + self.hip_roll_rate * gyro[:, 0]
            yaw = self.turn * np.clip(bearing, -LARGEST_TURN, LARGEST_TURN) - self.turn_rate * gyro[:, 2]
            steady = self.ankle_pitch * pitch + self.ankle_pitch_rate * gyro[:, 1]
            legs += [
                -forward - knee / 2 - lean + carries * upright_pitch,
                sideways + carries * upright_roll,
                in_the_air * yaw,
                knee,
                forward - knee / 2 + carries * steady,
                -sideways,
            ]
        return np.stack(legs, axis=-1)


def bearing_of(root: NDArray[Any], ball: NDArray[Any]) -> NDArray[np.float64]:
    """Return the angle from where the trunk points to the ball, radians in [-π, π), positive to the left, shape (n,).

    ``root`` and ``ball`` are the positions of their free joints, shape (n, 7).
    """
    w, x, y, z = (root[:, i] for i in range(3, 7))
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    there = np.arctan2(ball[:, 1] - root[:, 1], ball[:, 0] - root[:, 0])
    return np.asarray((there - yaw + np.pi) % (2 * np.pi) - np.pi)
