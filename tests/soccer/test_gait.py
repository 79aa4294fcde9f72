"""The teacher walks to the ball, and knows where it lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.simulation.native import NativeWorld
from touchline.soccer.control import walk
from touchline.soccer.gait import Gait, bearing_of
from touchline.soccer.observation import OBSERVATION_SIZE
from touchline.soccer.world import SoccerWorld


def test_the_teacher_walks_a_metre_and_does_not_fall():
    n = 8
    world = SoccerWorld(controller=walk(), joint_noise=0.02, velocity_noise=0.1)
    envs = NativeWorld(world, n)
    observation, _ = envs.reset(seed=0)
    root = world.index.root_position
    begin, fallen = envs.qpos[:, root][:, :2], np.zeros(n, dtype=bool)
    for step in range(100):
        action = world.demonstrate(envs.qpos, observation, np.full(n, step * 0.04))
        observation, _, terminated, *_ = envs.step(action.astype(np.float32))
        fallen |= terminated
    walked = np.linalg.norm(envs.qpos[:, root][:, :2] - begin, axis=1)
    envs.close()
    assert fallen.sum() <= 1
    assert np.median(walked) > 1.0


@given(st.floats(-3.1, 3.1), st.floats(-3.1, 3.1), st.floats(0.3, 5.0))
def test_the_bearing_is_the_angle_to_the_ball_from_where_the_trunk_points(yaw, bearing, distance):
    root = np.array([[1.0, -2.0, 0.7, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]])
    ball = np.zeros((1, 7))
    ball[0, :2] = root[0, :2] + distance * np.array([np.cos(yaw + bearing), np.sin(yaw + bearing)])
    assert bearing_of(root, ball) == pytest.approx(bearing, abs=1e-6)


def test_an_upright_robot_steps_alike_with_both_legs():
    """Half a stride later the right leg does what the left did, mirrored."""
    gait = Gait(turn=0.0)
    observation = np.zeros((1, OBSERVATION_SIZE))
    mirror = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
    seconds = np.array([3.13])
    now = gait.target(observation, np.zeros(1), seconds)
    then = gait.target(observation, np.zeros(1), seconds + 0.5 / gait.frequency)
    assert then[:, 6:] == pytest.approx(now[:, :6] * mirror)
    assert then[:, :6] == pytest.approx(now[:, 6:] * mirror)
