"""Where the camera looks: it follows the robot, with the ball and what is aimed at in the picture, and stays calm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_AIMS = ("target0", "goalarea_site")
"""Sites of the official models at which the ball is to be kicked."""
TRUNK = "Trunk"
"""How the name of the soccer robot's trunk ends."""
_FRAMING = 1.9
"""Distance of the camera, in heights of a robot that has no ball, at which the whole robot is in the picture."""
_NEAREST = 0.05
"""Metres before the camera at which what is projected is cut off."""


@dataclass(frozen=True)
class View:
    """Where the camera looks in one frame."""

    lookat: NDArray[np.float64]
    """World position in the middle of the picture, metres, shape (3,)."""
    distance: float
    """Metres from there to the camera."""
    azimuth: float
    """Degrees, as MuJoCo counts them: the direction in which the camera looks."""
    elevation: float
    """Degrees; negative looks down."""


def trunk_of(model: Any) -> int:
    """Return the id of the robot's trunk: the body so called, else the first that moves freely, or at all."""
    named = [body for body in range(model.nbody) if model.body(body).name.endswith(TRUNK)]
    return (named or _free_bodies(model) or model.jnt_bodyid.tolist() or [0])[0]


def ball_of(model: Any) -> int | None:
    """Return the id of the freely moving body whose name tells of a ball, or None."""
    return next((body for body in _free_bodies(model) if "ball" in model.body(body).name), None)


def aim_of(model: Any) -> int | None:
    """Return the id of the site at which the ball is to be kicked, or None."""
    return next((site for site in range(model.nsite) if model.site(site).name in _AIMS), None)


def _free_bodies(model: Any) -> list[int]:
    return [int(model.jnt_bodyid[joint]) for joint in range(model.njnt) if model.jnt_type[joint] == 0]


def views(
    robot: NDArray[np.float64],
    ball: NDArray[np.float64] | None,
    aim: NDArray[np.float64] | None = None,
    *,
    nearest: float = 2.1,
) -> Iterator[View]:
    """Follow the robot over its shoulder, the ball in the picture as long as it is near.

    ``robot`` and ``ball`` are world positions in metres, shape (T, 3), ``aim`` is one, shape (3,). The camera comes
    as near as ``nearest`` metres. The direction
    is that from the robot to the aim, or else to the ball, in the first frame and never turns; position and
    distance are smoothed, so the picture is calm.
    """
    direction = np.array([-1.0, 0.0]) if ball is None else (ball - robot)[0, :2]
    shoulder = 38.0
    if aim is not None:
        direction = (aim - robot[0])[:2]
        # What is aimed at from afar would be turned out of the picture.
        shoulder = float(np.clip(np.degrees(np.arctan2(3.3, np.linalg.norm(direction))), 16.0, 38.0))
    azimuth = float(np.degrees(np.arctan2(direction[1], direction[0]))) - shoulder
    focus, distance = None, 0.0
    for frame in range(len(robot)):
        centre, apart = robot[frame] * (1, 1, 0.75), 0.0
        if ball is not None:
            apart = min(float(np.linalg.norm((ball - robot)[frame, :2])), 4.0)
            toward = (ball - robot)[frame] * (1, 1, 0)
            length = np.linalg.norm(toward)
            centre = centre + 0.4 * toward * (apart / length if length > 0 else 0.0)
        wanted = nearest + 0.75 * apart
        focus = centre if focus is None else focus + 0.12 * (centre - focus)
        distance = wanted if frame == 0 else distance + 0.08 * (wanted - distance)
        yield View(np.asarray(focus), distance, azimuth, -16.0)


def follow(model: Any, qpos: NDArray[np.float64]) -> list[View]:
    """Return the view of every row of ``qpos`` (T, nq)."""
    import mujoco

    data, trunk, ball, aim = mujoco.MjData(model), trunk_of(model), ball_of(model), aim_of(model)
    robot, other, nearest = np.zeros((len(qpos), 3)), np.zeros((len(qpos), 3)), 2.1
    for frame, row in enumerate(qpos):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        robot[frame] = data.xpos[trunk]
        if ball is not None:
            other[frame] = data.xpos[ball]
        elif frame == 0:
            nearest = max(nearest, _FRAMING * _height(model, data, trunk))
    spot = None if aim is None else data.site_xpos[aim].copy()
    return list(views(robot, None if ball is None else other, spot, nearest=nearest))


def _height(model: Any, data: Any, body: int) -> float:
    """How far what hangs together with ``body`` reaches above the origin, metres, as it stands in ``data``."""
    parts = np.flatnonzero(model.body_rootid[model.geom_bodyid] == model.body_rootid[body])
    return float((data.geom_xpos[parts, 2] + model.geom_rbound[parts]).max(initial=0.0))


class Projection:
    """The pinhole camera of MuJoCo's free camera: world positions in metres to pixels."""

    def __init__(self, view: View, width: int, height: int, fovy: float) -> None:
        """``fovy`` is the picture's height in degrees, ``model.vis.global_.fovy``."""
        azimuth, elevation = np.radians([view.azimuth, view.elevation])
        forward = np.array(
            [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        )
        right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
        self._axes = np.stack([right, -np.cross(right, forward), forward])
        self._eye = view.lookat - view.distance * forward
        self.focal = height / 2 / np.tan(np.radians(fovy) / 2)
        """Pixels that a metre takes a metre away."""
        self._middle = np.array([width, height]) / 2
        self.horizon = float(self._middle[1] + self.focal * np.tan(elevation))
        """Row of the horizon, pixels from the top."""

    def depth(self, point: NDArray[np.float64]) -> float:
        """Metres before the camera; negative behind it."""
        return float(self._axes[2] @ (point - self._eye))

    def scale(self, point: NDArray[np.float64]) -> float:
        """Pixels that a metre takes at ``point``; 0 behind the camera."""
        depth = self.depth(point)
        return self.focal / depth if depth > _NEAREST else 0.0

    def path(self, points: Any) -> list[tuple[float, float]]:
        """Pixels of the open polygon ``points`` (n, 3), cut off where it goes behind the camera."""
        seen = (np.asarray(points, dtype=np.float64) - self._eye) @ self._axes.T
        kept = []
        for start, end in itertools.pairwise(seen):
            ends = []
            for one, other in ((start, end), (end, start)):
                if one[2] < _NEAREST <= other[2]:
                    one = one + (other - one) * (_NEAREST - one[2]) / (other[2] - one[2])
                if one[2] >= _NEAREST:
                    ends.append(one)
            kept += ends
        pixels = [self._middle + self.focal * point[:2] / point[2] for point in kept]
        return [(float(x), float(y)) for x, y in pixels]
