"""The training world: it falls, stands, starts and pays as the T1 robot does."""

import numpy as np
import pytest

from touchline.simulation.native import NativeWorld
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.rewards import RewardWeights
from touchline.soccer.world import SoccerWorld

QUIET = {"joint_noise": 0.0, "velocity_noise": 0.0}


def steps_until_the_fall(controller, limit):
    env = NativeWorld(SoccerWorld(controller=controller, **QUIET), 1)
    env.reset(seed=0)
    step, over = 0, False
    while not over and step < limit:
        _, _, terminated, truncated, _ = env.step(np.zeros((1, 12)))
        step, over = step + 1, bool(terminated[0] or truncated[0])
    env.close()
    return step, bool(terminated[0])


def test_soft_ankles_fall_within_1_2_seconds_without_a_policy():
    assert steps_until_the_fall(soft_ankles(), 100) == (58, True)  # 575 physics steps of 2 ms, as officially


def test_stiff_ankles_stand_for_the_whole_episode():
    assert steps_until_the_fall(stand_still(), 500) == (500, False)


def test_every_task_appears_and_its_one_hot_says_so():
    observation, _ = NativeWorld(SoccerWorld(), 200).reset(seed=0)
    assert (observation[:, 86:].sum(axis=1) == 1).all()
    assert (observation[:, 86:].sum(axis=0) > 30).all()


def test_every_term_of_the_dense_reward_is_logged_and_weighed():
    weights = RewardWeights(alive=2.0, approach=3.0)
    env = NativeWorld(SoccerWorld(reward_weights=weights), 4)
    env.reset(seed=0)
    _, reward, *_, info = env.step(np.full((4, 12), 0.3))
    expected = sum(getattr(weights, name) * term for name, term in info["terms"].items())
    assert reward == pytest.approx(expected)
    assert set(info["terms"]) == set(vars(weights))


def test_the_parts_of_the_start_lie_where_the_scene_has_them():
    world = SoccerWorld()
    uniform = np.random.default_rng(0).random((50, world.uniforms))
    qpos, qvel, _ = world.start(uniform, np.full(50, 2), np)
    index = world.index
    assert (qpos[:, index.root_position][:, 2] == 0.70).all()
    assert (np.abs(qpos[:, index.joint_position]) <= world.joint_noise).all()
    assert (qpos[:, index.ball_position][:, 3] == 1.0).all()
    assert qvel.shape == (50, world.model.nv)
    assert not qvel[:, index.ball_velocity].any()


def test_what_is_told_to_the_robot_has_no_noise():
    noise = SoccerWorld().noise
    assert (noise[:36] > 0).all()
    assert not noise[57:59].any() and not noise[86:].any()
