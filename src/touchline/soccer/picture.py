"""Frames of a trajectory: rendered with a camera that follows robot and ball, without costly effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360
"""Pixels of a frame."""


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
    """Return the id of the robot's trunk: the body so called, else the first that moves freely, else the world."""
    named = [body for body in range(model.nbody) if model.body(body).name.endswith("Trunk")]
    return (named or _free_bodies(model) or [0])[0]


def ball_of(model: Any) -> int | None:
    """Return the id of the freely moving body whose name tells of a ball, or None."""
    return next((body for body in _free_bodies(model) if "ball" in model.body(body).name), None)


def _free_bodies(model: Any) -> list[int]:
    return [int(model.jnt_bodyid[joint]) for joint in range(model.njnt) if model.jnt_type[joint] == 0]


def views(robot: NDArray[np.float64], ball: NDArray[np.float64] | None) -> Iterator[View]:
    """Follow the robot from behind its shoulder, the ball in the picture as long as it is near.

    ``robot`` and ``ball`` are world positions in metres, shape (T, 3). The direction is that from the robot to
    the ball in the first frame and never turns; position and distance are smoothed, so the picture is calm.
    """
    direction = np.array([-1.0, 0.0]) if ball is None else (ball - robot)[0, :2]
    azimuth = float(np.degrees(np.arctan2(direction[1], direction[0]))) - 38.0
    focus, distance = None, 0.0
    for frame in range(len(robot)):
        centre, apart = robot[frame] * (1, 1, 0.75), 0.0
        if ball is not None:
            apart = min(float(np.linalg.norm((ball - robot)[frame, :2])), 4.0)
            toward = (ball - robot)[frame] * (1, 1, 0)
            length = np.linalg.norm(toward)
            centre = centre + 0.4 * toward * (apart / length if length > 0 else 0.0)
        wanted = 2.1 + 0.75 * apart
        focus = centre if focus is None else focus + 0.12 * (centre - focus)
        distance = wanted if frame == 0 else distance + 0.08 * (wanted - distance)
        yield View(np.asarray(focus), distance, azimuth, -16.0)


def positions(model: Any, qpos: NDArray[np.float64], body: int) -> NDArray[np.float64]:
    """Return the world positions of ``body``, shape (T, 3), along generalised positions (T, nq)."""
    import mujoco

    data, result = mujoco.MjData(model), np.zeros((len(qpos), 3))
    for frame, row in enumerate(qpos):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        result[frame] = data.xpos[body]
    return result


def rendered(model: Any, qpos: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
    """Yield a frame (HEIGHT, WIDTH, 3) a row of ``qpos`` (T, nq); needs a usable ``MUJOCO_GL``.

    Shadows, reflections and multisampling are off: in software they cost nine tenths of the time.
    """
    import mujoco

    model.vis.quality.offsamples = 0
    model.vis.quality.shadowsize = 0
    model.vis.global_.offwidth, model.vis.global_.offheight = WIDTH, HEIGHT
    ball = ball_of(model)
    follow = views(positions(model, qpos, trunk_of(model)), None if ball is None else positions(model, qpos, ball))
    data, camera = mujoco.MjData(model), mujoco.MjvCamera()
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            renderer.scene.flags[flag] = False
        for row, view in zip(qpos, follow, strict=True):
            data.qpos[:] = row
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            camera.lookat[:], camera.distance = view.lookat, view.distance
            camera.azimuth, camera.elevation = view.azimuth, view.elevation
            renderer.update_scene(data, camera)
            yield renderer.render()


def captioned(frames: Iterator[NDArray[np.uint8]], caption: str, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Write ``caption`` and the seconds gone by in the lower left corner of each frame."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    for index, frame in enumerate(frames):
        image = Image.fromarray(frame)
        text = "  ·  ".join(filter(None, [caption, f"{index / fps:4.1f} s"]))
        place = (12, frame.shape[0] - 26)
        ImageDraw.Draw(image).text(place, text, font=font, fill="white", stroke_width=2, stroke_fill="#20303c")
        yield np.asarray(image)
