"""Gymnasium makes the soccer environments by name."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.simulation.native import NativeWorld
from touchline.soccer.environments import OFFICIAL, TRAINING


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("name", [TRAINING, OFFICIAL])
def test_one_environment_is_made_and_steps(name: str) -> None:
    env = gymnasium.make(name, task="goalie_penalty_kick")
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    observation, reward, *_ = env.step(np.zeros(12, np.float32))
    assert observation.shape == (89,) and np.isfinite(reward)
    env.close()


def test_a_batch_is_the_native_world() -> None:
    envs = gymnasium.make_vec(TRAINING, num_envs=4, vectorization_mode="vector_entry_point", randomisation="mild")
    assert isinstance(envs.unwrapped, NativeWorld)
    assert envs.reset(seed=0)[0].shape == (4, 89)
    envs.close()


def test_an_unknown_option_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="stand_still"):
        gymnasium.make(TRAINING, controller="stand_stil")
