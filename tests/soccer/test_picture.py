"""The camera keeps robot and ball in the picture and stays calm; the drawn picture shows the real bodies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.soccer.control import soft_ankles
from touchline.soccer.drawn import drawn
from touchline.soccer.official import OfficialEnv
from touchline.soccer.picture import HEIGHT, WIDTH, ball_of, captioned, positions, trunk_of, views


@pytest.fixture(scope="module")
def fall() -> tuple[OfficialEnv, NDArray[np.float64]]:
    env = OfficialEnv("goalie_penalty_kick", soft_ankles())
    env.reset(seed=0)
    rows, terminated = [env.qpos], False
    while not terminated:
        terminated = env.step(np.zeros(12))[2]
        rows.append(env.qpos)
    return env, np.stack(rows)[[0, len(rows) // 2, -1]]


def test_robot_and_ball_are_found_in_the_official_model(fall: tuple[OfficialEnv, NDArray[np.float64]]) -> None:
    env, _ = fall
    ball = ball_of(env.visual_model)
    assert env.visual_model.body(trunk_of(env.visual_model)).name == "robot_0:Trunk"
    assert ball is not None
    assert env.visual_model.body(ball).name == "soccer_ball"


def test_positions_are_those_of_the_body(fall: tuple[OfficialEnv, NDArray[np.float64]]) -> None:
    env, rows = fall
    heights = positions(env.visual_model, rows, trunk_of(env.visual_model))[:, 2]
    assert heights[0] == pytest.approx(0.70)
    assert heights[-1] < 0.5


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


def test_a_scene_without_ball_is_filmed_too() -> None:
    assert len(list(views(np.zeros((3, 3)), None))) == 3


def test_the_drawn_picture_shows_the_fall(fall: tuple[OfficialEnv, NDArray[np.float64]]) -> None:
    env, rows = fall
    frames = list(drawn(env.visual_model, rows))
    assert len(frames) == len(rows)
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert frames[0].dtype == np.uint8
    side = [frame[:, : WIDTH // 2].astype(int).sum(axis=-1) for frame in frames]
    head = [np.argwhere(view < 150)[:, 0].min() for view in side]
    assert head[-1] > head[0] + 60  # pixels: its top sinks


def test_a_caption_is_written_on_a_copy() -> None:
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    written = list(captioned(iter([black, black]), "step 1,000", fps=2.0))
    assert written[0].any()
    assert not black.any()
    assert not np.array_equal(written[0], written[1])  # the seconds go on
