"""Pictures of a scene without OpenGL: robot, ball, goal and what else is on the pitch, as lines in perspective."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError
from touchline.soccer import tasks as t
from touchline.soccer.camera import TRUNK, Projection, View, aim_of, ball_of, trunk_of

_SMOOTH = 2
"""Drawn so many times larger, then reduced, so that lines have no steps."""
_BALL_RADIUS, _KEEPER_HEIGHT, _DEFENDER_HEIGHT = 0.11, 1.65, 1.7
_SKY, _GRASS, _STRIPE, _LINE, _SHADE = "#dfeaf1", "#4c9a5a", "#46905a", "#f4f7f5", "#34754a"
_INK, _LEFT, _RIGHT = "#1d2b36", "#d1495b", "#2e6f95"
_GOAL, _KEEPER, _DEFENDER, _AIM = "#e7b416", "#7b4fa3", "#c2452d", "#ff7f50"
_PENALTY_BOX = (2.0, 3.0)
"""Depth and half the width of the box before a goal, metres, as on the official pitch's picture."""


class Draughtsman:
    """Draws with Pillow what a ``picture.Renderer`` would show, from the real positions of every body."""

    def __init__(self, model: Any, width: int, height: int) -> None:
        """Raises TouchlineError for a model without the soccer robot: of it alone it knows what to draw."""
        import mujoco

        if not model.body(trunk_of(model)).name.endswith(TRUNK):
            raise TouchlineError("only the soccer robot is drawn; films of another need OpenGL")
        self.width, self.height = width, height
        self._model, self._data = model, mujoco.MjData(model)
        self._trunk, self._ball, self._aim = trunk_of(model), ball_of(model), aim_of(model)
        self._limbs = _limbs(model, self._trunk)
        # The official ball's body lies on the ground, below the middle of its sphere.
        self._sphere = next((g for g in range(model.ngeom) if model.geom_bodyid[g] == self._ball), None)
        geoms = [(geom, model.geom(geom).name) for geom in range(model.ngeom)]
        self._keepers = [geom for geom, name in geoms if name.startswith("goalkeeper_team")]
        self._defenders = [geom for geom, name in geoms if name.startswith("defender_geom")]

    def paint(self, qpos: NDArray[np.float64], view: View) -> NDArray[np.uint8]:
        import mujoco
        from PIL import Image, ImageDraw

        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        width, height = _SMOOTH * self.width, _SMOOTH * self.height
        image = Image.new("RGB", (width, height), _SKY)
        sight = Projection(view, width, height, float(self._model.vis.global_.fovy))
        pen = _Pen(ImageDraw.Draw(image), sight)
        self._pitch(pen, view, (width, height))
        self._opponents(pen)
        figures = [(sight.depth(self._data.xpos[self._trunk]), self._robot)]
        if self._ball is not None:
            figures.append((sight.depth(self._data.xpos[self._ball]), self._draw_ball))
        for _, draw in sorted(figures, key=lambda figure: -figure[0]):
            draw(pen)
        return np.asarray(image.reduce(_SMOOTH))

    def close(self) -> None:
        """There is nothing to free."""

    def _pitch(self, pen: _Pen, view: View, size: tuple[int, int]) -> None:
        pen.rectangle(0, pen.sight.horizon, *size, _GRASS)
        length, width, goal = t.FIELD_LENGTH, t.FIELD_WIDTH, t.GOAL_WIDTH
        edges = np.linspace(-length, length, 11)
        for left, right in zip(edges[0::2], edges[1::2], strict=False):
            pen.face(_flat([(left, -width), (right, -width), (right, width), (left, width)]), _STRIPE)
        pen.line(_flat([(-length, -width), (length, -width), (length, width), (-length, width), (-length, -width)]))
        pen.line(_flat([(0, -width), (0, width)]))
        angles = np.linspace(0, 2 * np.pi, 41)
        pen.line(_flat(1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)))
        depth, half = _PENALTY_BOX
        for end in (-1, 1):
            x, inner = end * length, end * (length - depth)
            pen.line(_flat([(x, -half), (inner, -half), (inner, half), (x, half)]))
            spot = np.array([end * -t.PENALTY_SPOT_X, 0.0, 0.0])
            pen.dot(spot, 0.05, _LINE)
            posts = [(x, -goal, 0), (x, -goal, t.GOAL_HEIGHT), (x, goal, t.GOAL_HEIGHT), (x, goal, 0)]
            pen.line(np.array(posts), _GOAL, 0.12)
        if self._aim is not None:
            self._draw_aim(pen)

    def _draw_aim(self, pen: _Pen) -> None:
        place, size = self._data.site_xpos[self._aim], self._model.site_size[self._aim]
        if self._model.site(self._aim).name == "target0":
            angles = np.linspace(0, 2 * np.pi, 33)
            for share, color in ((1.0, _AIM), (0.6, "white"), (0.25, _AIM)):
                ring = share * size[0] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
                pen.face(_flat(ring) + place * (1, 1, 0), color)
        else:
            corners = np.array([(0, -1, -1), (0, 1, -1), (0, 1, 1), (0, -1, 1), (0, -1, -1)])
            pen.line(place + corners * size, _AIM, 0.05)

    def _opponents(self, pen: _Pen) -> None:
        for geoms, color, height in (
            (self._defenders, _DEFENDER, _DEFENDER_HEIGHT),
            (self._keepers, _KEEPER, _KEEPER_HEIGHT),
        ):
            for geom in geoms:
                x, y = self._data.geom_xpos[geom][:2]
                heights = np.array([0.0, 0.5, 0.8]) * height
                foot, hip, neck = (np.array([x, y, z]) for z in heights)
                for side in (-0.18, 0.18):
                    pen.line(np.stack([foot + (0, side, 0), hip]), color, 0.12)
                    pen.line(np.stack([neck - (0, 0, 0.1), hip + (0, 3 * side, 0.15)]), color, 0.1)
                pen.line(np.stack([hip, neck]), color, 0.3)
                pen.dot(neck + (0, 0, 0.22), 0.13, color)

    def _draw_ball(self, pen: _Pen) -> None:
        middle = self._data.geom_xpos[self._sphere]
        pen.shadow(middle, 0.12)
        pen.dot(middle, _BALL_RADIUS, _INK)
        pen.dot(middle, 0.86 * _BALL_RADIUS, "white")

    def _robot(self, pen: _Pen) -> None:
        data, trunk = self._data, self._trunk
        place, turn = data.xpos[trunk], data.xmat[trunk].reshape(3, 3)
        pen.shadow(place, 0.25)
        far_first = sorted(self._limbs, key=lambda body: -pen.sight.depth(data.xpos[body]))
        for body in far_first:
            color, position = _color(self._model, body), data.xpos[body]
            pen.line(np.stack([data.xpos[self._model.body_parentid[body]], position]), color, 0.09)
            if "foot" in self._model.body(body).name:
                forward = data.xmat[body].reshape(3, 3)[:, 0]
                pen.line(np.stack([position - 0.08 * forward, position + 0.14 * forward]), color, 0.07)
        pen.line(place + np.array([(0.06, 0, -0.1), (0.06, 0, 0.2)]) @ turn.T, _INK, 0.21)
        for side in (-1, 1):
            arm = np.array([(0.06, side * 0.16, 0.22), (0.05, side * 0.21, 0.0), (0.05, side * 0.22, -0.15)])
            pen.line(place + arm @ turn.T, _INK, 0.07)
        pen.dot(place + turn @ (0.07, 0, 0.39), 0.1, _INK)


class _Pen:
    """Draws in world coordinates."""

    def __init__(self, draw: Any, sight: Projection) -> None:
        self._draw, self.sight = draw, sight

    def rectangle(self, left: float, top: float, right: float, bottom: float, color: str) -> None:
        if top < bottom:
            self._draw.rectangle((left, max(top, 0), right, bottom), fill=color)

    def line(self, points: NDArray[np.float64], color: str = _LINE, thick: float = 0.06) -> None:
        """Draw a line ``thick`` metres wide, each part by its own distance, its ends round."""
        for start, end in itertools.pairwise(points):
            path = self.sight.path([start, end])
            scale = max(self.sight.scale(start), self.sight.scale(end))
            nearest = self.sight.scale((start + end) / 2) or scale
            width = max(_SMOOTH, round(thick * min(nearest, 4_000)))
            if len(path) < 2:
                continue
            self._draw.line(path, fill=color, width=width)
            if width > 3 * _SMOOTH:
                for x, y in path:
                    self._draw.circle((x, y), width / 2 - 0.5, fill=color)

    def face(self, corners: NDArray[np.float64], color: str) -> None:
        path = self.sight.path(np.concatenate([corners, corners[:1]]))
        if len(path) > 2:
            self._draw.polygon(path, fill=color)

    def dot(self, middle: NDArray[np.float64], radius: float, color: str) -> None:
        scale = self.sight.scale(middle)
        if scale:
            ((x, y), *_) = self.sight.path([middle, middle])
            self._draw.circle((x, y), max(radius * scale, _SMOOTH), fill=color)

    def shadow(self, above: NDArray[np.float64], radius: float) -> None:
        angles = np.linspace(0, 2 * np.pi, 25)
        self.face(_flat(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)) + above * (1, 1, 0), _SHADE)


def _flat(points: Any) -> NDArray[np.float64]:
    """Points (n, 2) on the ground, as (n, 3)."""
    points = np.asarray(points, dtype=np.float64)
    return np.concatenate([points, np.zeros((len(points), 1))], axis=1)


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
