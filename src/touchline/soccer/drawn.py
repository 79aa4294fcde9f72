"""The picture without OpenGL: robot, ball, goal and target drawn from the side and from above."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.soccer import tasks as t
from touchline.soccer.picture import HEIGHT, WIDTH, ball_of, trunk_of

_GRASS, _INK, _LEFT, _RIGHT, _SKY = "#3f8f4f", "#1d2b36", "#d1495b", "#2e6f95", "#eef4f7"
_BEHIND, _AHEAD = 1.2, 2.4
"""What the side view shows behind and before the robot, metres: the penalty's ball is 2 m away."""


def drawn(model: Any, qpos: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
    """Yield a frame (HEIGHT, WIDTH, 3) a row of ``qpos`` (T, nq), from the real positions of every body."""
    import mujoco
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=_SKY)
    canvas = FigureCanvasAgg(figure)
    data = mujoco.MjData(model)
    scene: _Scene | None = None
    for row in qpos:
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        scene = scene or _Scene(figure, model, data)
        scene.move(data)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


class _Scene:
    """The artists of both views; made in the first frame, moved in every frame."""

    def __init__(self, figure: Any, model: Any, data: Any) -> None:
        from matplotlib.patches import Circle, Rectangle

        self._trunk, self._ball = trunk_of(model), ball_of(model)
        forward = np.array([-1.0, 0.0])
        if self._ball is not None:
            forward = (data.xpos[self._ball] - data.xpos[self._trunk])[:2]
        self._forward = forward / max(float(np.linalg.norm(forward)), 1e-6)
        self._side = figure.add_axes((0, 0, 1, 1))
        self._side.set_axis_off()
        self._side.set_aspect("equal", adjustable="datalim")
        self._side.axhspan(-1, 0, color=_GRASS, zorder=0)
        (self._ticks,) = self._side.plot([], [], "|", color="white", markersize=14, zorder=1)
        self._parents = model.body_parentid
        limbs = _limbs(model, self._trunk)
        self._bones = [(body, self._bone(_color(model, body))) for body in limbs]
        self._feet = [(body, self._bone(_color(model, body))) for body in limbs if "foot" in model.body(body).name]
        (self._torso,) = self._side.plot([], [], color=_INK, lw=14, solid_capstyle="round", zorder=2)
        self._head = self._side.add_patch(Circle((0, 0), 0.1, color=_INK, zorder=2))
        self._side_ball = self._side.add_patch(Circle((0, 0), 0.11, fc="white", ec=_INK, lw=2, zorder=4))
        self._goal = self._side.plot([], [], color="#8899a6", lw=4, zorder=1)[0]

        top = figure.add_axes((0.69, 0.66, 0.3, 0.32))
        top.set(xlim=(-t.FIELD_LENGTH - 1, t.FIELD_LENGTH + 1), ylim=(-t.FIELD_WIDTH - 1, t.FIELD_WIDTH + 1))
        top.set_aspect("equal")
        top.set_axis_off()
        corner = (-t.FIELD_LENGTH, -t.FIELD_WIDTH)
        top.add_patch(Rectangle(corner, 2 * t.FIELD_LENGTH, 2 * t.FIELD_WIDTH, fc=_GRASS, ec="white", alpha=0.9))
        for x in (-t.FIELD_LENGTH, t.FIELD_LENGTH):
            top.plot([x, x], [-t.GOAL_WIDTH, t.GOAL_WIDTH], color="#f4d35e", lw=4, solid_capstyle="butt")
        for site in range(model.nsite):
            if model.site(site).name in ("target0", "goalarea_site"):
                top.plot(*data.site_xpos[site][:2], "o", color=_LEFT, markersize=7)
        (self._top_robot,) = top.plot([], [], "s", color=_INK, markersize=5)
        (self._top_ball,) = top.plot([], [], "o", color="white", markeredgecolor=_INK, markersize=5)

    def _bone(self, color: str) -> Any:
        return self._side.plot([], [], color=color, lw=7, solid_capstyle="round", zorder=3)[0]

    def move(self, data: Any) -> None:
        place = data.xpos[:, :2] @ self._forward
        height, centre = data.xpos[:, 2], place[self._trunk]
        self._side.set(xlim=(centre - _BEHIND, centre + _AHEAD), ylim=(-0.35, 1.67))
        meters = np.arange(np.floor(centre - 3), np.ceil(centre + 4))
        self._ticks.set_data(meters, np.full_like(meters, -0.06))
        for body, line in self._bones:
            pair = [self._parents[body], body]
            line.set_data(place[pair], height[pair])
        up = data.xmat[self._trunk].reshape(3, 3)[:, 2]
        lean = up[:2] @ self._forward
        hip = place[self._trunk]
        self._torso.set_data([hip, hip + 0.4 * lean], [height[self._trunk], height[self._trunk] + 0.4 * up[2]])
        self._head.center = (hip + 0.58 * lean, height[self._trunk] + 0.58 * up[2])
        for body, line in self._feet:
            sole = data.xmat[body].reshape(3, 3)[:, 0]
            ends = np.array([-0.07, 0.13])
            line.set_data(place[body] + ends * (sole[:2] @ self._forward), height[body] + ends * sole[2])
        self._top_robot.set_data(*data.xpos[self._trunk][:2, None])
        if self._ball is not None:
            self._side_ball.center = (place[self._ball], height[self._ball] + 0.11)
            self._top_ball.set_data(*data.xpos[self._ball][:2, None])
        goal = float(np.array(t.GOAL_SOUTH[:2]) @ self._forward)
        self._goal.set_data([goal, goal], [0, t.GOAL_HEIGHT])


def _limbs(model: Any, trunk: int) -> list[int]:
    """Return the bodies below the trunk, each of which is a bone to its parent."""
    found: list[int] = []
    for body in range(trunk + 1, model.nbody):
        if model.body_parentid[body] in (trunk, *found):
            found.append(body)
    return found


def _color(model: Any, body: int) -> str:
    name = model.body(body).name.lower()
    return _LEFT if "left" in name else _RIGHT if "right" in name else _INK
