"""One episode of a world is a plain Gymnasium environment."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.simulation.pole import Pole
from touchline.errors import UsageError
from touchline.simulation.native import NativeWorld
from touchline.simulation.single import SingleWorld


@pytest.mark.filterwarnings("ignore:.*A Box observation space")
def test_gymnasium_finds_nothing_to_complain_about():
    check_env(SingleWorld(Pole(), "upright"), skip_render_check=True)


def test_an_episode_ends_with_its_own_last_observation_and_its_score():
    env, batch = SingleWorld(Pole(), "tilted"), NativeWorld(Pole(), 1)
    first, _ = env.reset(seed=3)
    assert np.array_equal(first, batch.reset(seed=3, options={"tasks": [1]})[0][0])
    total, over = 0.0, False
    while not over:
        observation, reward, terminated, truncated, info = env.step(np.ones(1))
        *_, said = batch.step(np.ones((1, 1)))
        total, over = total + reward, terminated or truncated
        assert over == ("score" in info)
    assert np.array_equal(observation, said["final_obs"][0])
    assert np.array_equal(env.qpos[:2].astype(np.float32), observation[:2])
    assert info["score"] == pytest.approx(total)
    assert set(info["terms"]) == {"upright", "near"}
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.ones(1))


def test_its_score_is_the_sum_of_what_the_terms_paid_also_after_it_went_on_elsewhere():
    first, second = SingleWorld(Pole()), SingleWorld(Pole(), "tilted")
    first.reset(seed=1)
    first.step(np.ones(1))
    second.load_state_dict(first.state_dict())
    over = False
    while not over:
        *_, terminated, truncated, info = second.step(np.ones(1))
        over = terminated or truncated
    assert set(info["score_terms"]) == {"upright", "near"}
    assert sum(info["score_terms"].values()) == pytest.approx(info["score"])
    assert info["task"] in Pole.tasks and info["outcomes"] == {}


def test_it_goes_on_in_another_object():
    first, second = SingleWorld(Pole()), SingleWorld(Pole())
    first.reset(seed=1)
    first.step(np.ones(1))
    second.load_state_dict(first.state_dict())
    for _ in range(5):
        mine, other = first.step(np.ones(1)), second.step(np.ones(1))
        assert np.array_equal(mine[0], other[0]) and mine[1:] == other[1:]


def test_an_unknown_task_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="upright"):
        SingleWorld(Pole(), "uprigth")
