"""A perturbation is data: drawn from a seed, the same for every policy, nothing when it is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.perturbation import NONE, Perturbation


@pytest.fixture(scope="module")
def env() -> Iterator[OfficialEnv]:
    environment = OfficialEnv("goalie_penalty_kick", stand_still())
    yield environment
    environment.close()


def state(env: OfficialEnv, perturbation: Perturbation, seed: int) -> np.ndarray:
    env.perturbation = perturbation
    env.reset(seed=seed)
    return np.concatenate([env.data.qpos, env.data.qvel])


def test_none_leaves_the_official_reset_which_is_the_same_for_every_seed(env: OfficialEnv) -> None:
    np.testing.assert_array_equal(state(env, NONE, 1), state(env, NONE, 2))


def test_a_seed_gives_one_scenario_and_another_seed_another(env: OfficialEnv) -> None:
    np.testing.assert_array_equal(state(env, Perturbation(), 1), state(env, Perturbation(), 1))
    assert not np.array_equal(state(env, Perturbation(), 1), state(env, Perturbation(), 2))


def test_the_noise_has_the_declared_size(env: OfficialEnv) -> None:
    official, declared = state(env, NONE, 0), Perturbation(joint_position=0.01, base_velocity=0.3)
    noise = np.stack([state(env, declared, seed) for seed in range(200)]) - official
    root = env.model.nq + env.model.joint("robot_0:root").dofadr[0]
    assert noise[:, root : root + 2].std() == pytest.approx(0.3, rel=0.15)
    hip = env.model.joint("robot_0:Left_Hip_Pitch").qposadr[0]
    assert noise[:, hip].std() == pytest.approx(0.01, rel=0.15)
    height = env.model.joint("robot_0:root").qposadr[0] + 2
    assert not noise[:, height].any()


def test_one_deviation_changed_leaves_the_other_noise_alone(env: OfficialEnv) -> None:
    quiet_ball = state(env, replace(Perturbation(), ball_position=0.0), 4)
    moved_ball = state(env, Perturbation(), 4)
    changed = np.flatnonzero(quiet_ball != moved_ball)
    ball = env.model.joint("env:ball").qposadr[0]
    assert changed.tolist() == [ball, ball + 1]


def test_joints_stay_inside_their_range(env: OfficialEnv) -> None:
    state(env, Perturbation(joint_position=5.0), 0)
    legs = slice(env.model.njnt - 12, env.model.njnt)
    angles = env.data.qpos[-12:]
    low, high = env.model.jnt_range[legs].T
    assert (angles >= low).all()
    assert (angles <= high).all()
