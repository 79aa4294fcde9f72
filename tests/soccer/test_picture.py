"""Pictures with and without OpenGL show robot, ball and goal, where they really are."""

from __future__ import annotations

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.soccer.camera import Projection, ball_of, trunk_of
from touchline.soccer.control import soft_ankles
from touchline.soccer.drawn import Draughtsman
from touchline.soccer.gl import usable_gl
from touchline.soccer.official import OfficialEnv
from touchline.soccer.picture import Shot
from touchline.soccer.simplify import simplify
from touchline.soccer.tasks import GOAL_HEIGHT, GOAL_SOUTH, GOAL_WIDTH
from touchline.soccer.trajectory import Trajectory

Fall = tuple[OfficialEnv, Trajectory]


@pytest.fixture(scope="module")
def fall() -> Fall:
    env = OfficialEnv("goalie_penalty_kick", soft_ankles())
    env.reset(seed=0)
    rows, terminated = [env.qpos], False
    while not terminated:
        terminated = env.step(np.zeros(12))[2]
        rows.append(env.qpos)
    return env, Trajectory(env.visual_model, np.stack(rows)[[0, len(rows) // 2, -1]])


def drawn(trajectory: Trajectory, width: int = 640, height: int = 360) -> Shot:
    painter = Draughtsman(trajectory.model, width, height)
    return Shot(painter, trajectory.model, trajectory.qpos, trajectory.moved)


def test_robot_and_ball_are_found_in_the_official_model(fall: Fall) -> None:
    model = fall[0].model
    ball = ball_of(model)
    assert model.body(trunk_of(model)).name == "robot_0:Trunk"
    assert ball is not None
    assert model.body(ball).name == "soccer_ball"


@pytest.mark.parametrize(("width", "height"), [(640, 360), (212, 120)])
def test_robot_ball_and_goal_are_drawn_where_they_are(fall: Fall, width: int, height: int) -> None:
    env, trajectory = fall
    shot = drawn(trajectory, width, height)
    picture = shot[0].astype(int)
    assert picture.shape == (height, width, 3)
    sight = Projection(shot._views[0], width, height, float(env.visual_model.vis.global_.fovy))
    ball, robot = np.array([-8.77, 0.0, 0.11]), trajectory.qpos[0][:3]
    post = np.array(GOAL_SOUTH) + (0, GOAL_WIDTH, GOAL_HEIGHT / 2)
    robot = np.array([-6.77, 0.0, 0.8])
    for place, color in ((ball, (255, 255, 255)), (robot, (0x1D, 0x2B, 0x36)), (post, (0xE7, 0xB4, 0x16))):
        ((x, y), *_) = sight.path([place, place])
        near = picture[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3].reshape(-1, 3)
        assert np.abs(near - color).sum(axis=1).min() < 60


def test_the_drawn_picture_shows_the_fall(fall: Fall) -> None:
    shot = drawn(fall[1])
    dark = [
        np.argwhere((shot[frame].astype(int) - (0x1D, 0x2B, 0x36)).__abs__().sum(axis=-1) < 20) for frame in (0, 2)
    ]
    assert dark[1][:, 0].min() > dark[0][:, 0].min() + 40  # pixels: its top sinks


def test_episodes_of_one_model_are_painted_in_turns(fall: Fall) -> None:
    env, trajectory = fall
    aside = {name: array.copy() for name, array in trajectory.moved.items()}
    aside["body_pos"][[env.visual_model.body(f"goalkeeper_team_{team}_body").id for team in (0, 1)]] += 0.5
    painter = Draughtsman(env.visual_model, 320, 180)
    here, there = (Shot(painter, env.visual_model, trajectory.qpos, moved) for moved in (trajectory.moved, aside))
    first, second, again = here[0], there[0], here[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


def test_a_simplified_mesh_has_a_fraction_of_its_triangles_and_no_false_vertex() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><asset><mesh name='ball' builtin='sphere' params='4'/></asset>"
        "<worldbody><geom type='mesh' mesh='ball'/></worldbody></mujoco>"
    )
    faces: NDArray[np.int64] = model.mesh_face.copy()
    simplify(model, 12)
    kept = model.mesh_face[: model.mesh_facenum[0]]
    assert 50 < len(kept) < len(faces) / 4
    assert kept.max() < model.mesh_vertnum[0]
    assert len({tuple(face) for face in kept.tolist()}) == len(kept)
    assert (np.sort(kept, axis=1)[:, 1:] != np.sort(kept, axis=1)[:, :-1]).all()  # none has collapsed


_RENDER = """
import numpy as np
from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.picture import Renderer, Shot
from touchline.soccer.trajectory import Trajectory
from touchline.soccer.drawn import Draughtsman
env = OfficialEnv("goalie_penalty_kick", stand_still())
env.reset(seed=0)
shown = Trajectory(env.visual_model, env.qpos[None])
sketch = Shot(Draughtsman(env.visual_model, 320, 180), env.visual_model, shown.qpos, shown.moved)[0].astype(int)
renderer = Renderer(env.visual_model, 320, 180)
picture = Shot(renderer, env.visual_model, shown.qpos, shown.moved)[0].astype(int)
renderer.close()
blue = np.argwhere((picture[..., 2] > 110) & (picture[..., :2].max(axis=-1) < 60))
trunk = blue[blue[:, 1] > 160].mean(axis=0)
dark = np.argwhere(np.abs(sketch - (0x1D, 0x2B, 0x36)).sum(axis=-1) < 20)
print(*np.abs(trunk - dark[dark[:, 1] > 160].mean(axis=0)))
"""


def test_the_rendered_robot_stands_where_the_drawn_one_does() -> None:
    found = usable_gl()
    if found.backend is None:
        pytest.skip(found.reason)
    environment = {**os.environ, "MUJOCO_GL": found.backend, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", _RENDER], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    apart = [float(word) for word in done.stdout.split()]
    assert max(apart) < 12  # pixels of 320 x 180
