"""The camera keeps robot, ball and what is aimed at in the picture, and stays calm; its projection is MuJoCo's."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from touchline.jobs.worlds import load_world
from touchline.soccer.camera import Projection, View, ball_of, follow, trunk_of, views
from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.tasks import GOAL_SOUTH, TASKS

WIDTH, HEIGHT = 640, 360


def test_the_camera_looks_from_the_robot_to_the_ball_and_between_them() -> None:
    robot = np.tile([-6.77, 0.0, 0.7], (5, 1))
    ball = np.tile([-8.77, 0.0, 0.1], (5, 1))
    first = next(views(robot, ball))
    assert -8.77 < first.lookat[0] < -6.77
    assert 90 < first.azimuth % 360 < 270  # looks along -x


def test_the_camera_follows_without_a_jump() -> None:
    robot = np.zeros((60, 3))
    robot[30:, 0] = 1.0
    ball = np.tile([-1.0, 0.0, 0.1], (60, 1))
    seen = list(views(robot, ball))
    steps = np.diff([view.lookat[0] for view in seen])
    assert np.abs(steps).max() < 0.13
    assert seen[-1].lookat[0] > seen[0].lookat[0] + 0.5
    assert len({view.azimuth for view in seen}) == 1


def test_a_ball_far_away_does_not_pull_the_camera_after_it() -> None:
    robot, ball = np.zeros((1, 3)), np.array([[50.0, 0.0, 0.0]])
    view = next(views(robot, ball))
    assert view.distance < 6
    assert np.linalg.norm(view.lookat) < 2


def test_a_robot_without_ball_is_in_the_picture_as_a_whole() -> None:
    world = load_world(str(Path(__file__).parents[2] / "examples" / "hopper.py"))
    start = world.start(np.full((1, world.uniforms), 0.5), np.zeros(1), np)
    (view,) = follow(world.model, start.qpos)
    sight = Projection(view, WIDTH, HEIGHT, float(world.model.vis.global_.fovy))
    for height in (0.0, 1.5):
        ((x, y), *_) = sight.path([(0, 0, height)] * 2)
        assert 0 < x < WIDTH and 0 < y < HEIGHT


@pytest.mark.parametrize("task", TASKS)
def test_robot_ball_and_what_is_aimed_at_are_in_the_picture(task: str) -> None:
    env = OfficialEnv(task, stand_still())
    for seed in range(12):
        env.reset(seed=seed)
        (view,) = follow(env.visual_model, env.qpos[None])
        sight = Projection(view, WIDTH, HEIGHT, float(env.visual_model.vis.global_.fovy))
        robot, ball = env.data.xpos[trunk_of(env.visual_model)], env.data.xpos[ball_of(env.visual_model)]
        aim = env.data.site("target0").xpos if task == "kick_to_target" else np.array(GOAL_SOUTH)
        for place in (robot - (0, 0, 0.65), robot + (0, 0, 0.5), ball, aim):
            ((x, y), *_) = sight.path([place, place])
            assert 0 < x < WIDTH and 0 < y < HEIGHT, (seed, place)
    env.close()


def test_the_projection_is_that_of_mujocos_own_camera() -> None:
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    data, camera, scene = mujoco.MjData(model), mujoco.MjvCamera(), mujoco.MjvScene(model, 10)
    view = View(np.array([1.0, -2.0, 0.5]), 4.0, 130.0, -20.0)
    camera.lookat[:], camera.distance = view.lookat, view.distance
    camera.azimuth, camera.elevation = view.azimuth, view.elevation
    mujoco.mj_forward(model, data)
    mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, mujoco.mjtCatBit.mjCAT_ALL, scene)
    eye = (scene.camera[0].pos + scene.camera[1].pos) / 2
    forward, up = scene.camera[0].forward, scene.camera[0].up
    sight = Projection(view, WIDTH, HEIGHT, float(model.vis.global_.fovy))
    for point in (view.lookat, np.array([0.0, 0.0, 1.0]), np.array([2.0, -2.5, 0.0])):
        depth, right = forward @ (point - eye), np.cross(forward, up)
        expected = (
            WIDTH / 2 + sight.focal * (right @ (point - eye)) / depth,
            HEIGHT / 2 - sight.focal * (up @ (point - eye)) / depth,
        )
        assert sight.path([point, point])[0] == pytest.approx(expected, abs=0.05)
        assert sight.depth(point) == pytest.approx(depth, rel=1e-4)


def test_a_line_is_cut_off_where_it_goes_behind_the_camera() -> None:
    sight = Projection(View(np.zeros(3), 2.0, 0.0, 0.0), WIDTH, HEIGHT, 45.0)
    path = sight.path([(0.0, 0.0, 0.0), (-10.0, 0.0, -1.0)])
    assert len(path) == 2 and path[0] == (WIDTH / 2, HEIGHT / 2)
    assert path[1][1] > HEIGHT  # out of the picture at its lower edge
    assert sight.path([(-9.0, 0.0, 0.0), (-10.0, 0.0, 0.0)]) == []
