"""Pictures of a scene, rendered by OpenGL without costly effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from touchline.soccer.camera import View, follow
from touchline.soccer.simplify import simplify
from touchline.soccer.trajectory import MOVED


class Painter(Protocol):
    """Makes pictures of one model; ``Renderer`` with OpenGL, ``drawn.Draughtsman`` without."""

    width: int
    height: int

    def paint(self, qpos: NDArray[np.float64], view: View) -> NDArray[np.uint8]:
        """Return the picture (height, width, 3) of the positions ``qpos`` (nq,)."""

    def close(self) -> None:
        """Free what the painter holds."""


class Renderer:
    """Renders with MuJoCo; needs a usable ``MUJOCO_GL`` from before MuJoCo was imported.

    Shadows, reflections and multisampling are off and the meshes are thinned out to what is seen: in software
    those cost more than nine tenths of the time. The model is of no use to physics afterwards.
    """

    def __init__(self, model: Any, width: int, height: int) -> None:
        import mujoco

        self.width, self.height = width, height
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        simplify(model, height)
        self._model, self._data, self._camera = model, mujoco.MjData(model), mujoco.MjvCamera()
        self._renderer = mujoco.Renderer(model, height, width)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = False

    def paint(self, qpos: NDArray[np.float64], view: View) -> NDArray[np.uint8]:
        import mujoco

        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        camera = self._camera
        camera.lookat[:], camera.distance = view.lookat, view.distance
        camera.azimuth, camera.elevation = view.azimuth, view.elevation
        self._renderer.update_scene(self._data, camera)
        pixels: NDArray[np.uint8] = self._renderer.render()
        return pixels

    def close(self) -> None:
        self._renderer.close()


class Shot:
    """A trajectory as frames that are made when they are asked for: what ``tracking.grid.Grid`` tiles."""

    nbytes = 0
    """None of its frames is kept."""

    def __init__(
        self, painter: Painter, model: Any, qpos: NDArray[np.float64], moved: Mapping[str, NDArray[Any]]
    ) -> None:
        """``model`` is the painter's, which may paint other trajectories of it in between."""
        self._painter, self._model, self._qpos, self._moved = painter, model, qpos, moved
        self.height, self.width = painter.height, painter.width
        self._move()
        self._views = follow(model, qpos)

    def __len__(self) -> int:
        return len(self._qpos)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        self._move()
        return self._painter.paint(self._qpos[index], self._views[index])

    def _move(self) -> None:
        for name in MOVED:
            getattr(self._model, name)[:] = self._moved[name]
