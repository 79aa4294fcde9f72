"""What is watched of a policy that acts: its actions, what its critic expected and what came, how episodes ended."""

import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.learning.acting import ActingStatistics

NEITHER = np.zeros(2, bool)


def step(statistics, action, reward=(0.0, 0.0), score=(0.0, 0.0), terminated=NEITHER, truncated=NEITHER, **final):
    values = np.full((int(statistics.begins.sum()), 2), [3.0, 7.0], np.float32)
    statistics.acted(np.array(action, np.float32), values)
    statistics.ended(
        np.array(reward), np.array(score), np.array(terminated), np.array(truncated), {"final_info": final}
    )


@pytest.fixture
def statistics():
    return ActingStatistics(2, 2, gammas=(0.5, 0.1))


def test_saturation_is_the_share_of_actions_at_an_end_and_rate_how_far_they_move(statistics):
    step(statistics, [[1.0, 0.0], [0.0, -0.96]])
    step(statistics, [[0.0, 0.0], [0.0, 0.0]])
    told = statistics.summary()
    assert told["action_saturation"] == pytest.approx(0.25)
    assert told["action_rate"] == pytest.approx(0.5 * (1.0 + 0.96) / 4)
    assert set(told) == {"action_saturation", "action_rate"}


def test_the_first_action_of_an_episode_is_not_compared_with_the_last_of_another(statistics):
    step(statistics, [[1.0, 1.0]] * 2, terminated=[True, True], outcome=["fallen", "fallen"])
    step(statistics, [[-1.0, -1.0]] * 2)
    assert statistics.summary()["action_rate"] == 0.0


def test_rewards_are_discounted_from_the_start_of_an_episode_each_in_its_own_way(statistics):
    step(statistics, np.zeros((2, 2)), reward=[1.0, 5.0])
    step(
        statistics,
        np.zeros((2, 2)),
        reward=[1.0, 5.0],
        score=[2.0, 0.0],
        truncated=[True, False],
        outcome=["time is up", None],
    )
    told = statistics.summary()
    assert (told["start_value"], told["realised_return"]) == (3.0, 1.5)
    assert (told["start_score_value"], told["realised_score"]) == (7.0, pytest.approx(0.2))
    assert (told["episode_score"], told["time_out_share"], told["outcome/time_is_up"]) == (2.0, 1.0, 1.0)
    step(statistics, np.zeros((2, 2)), terminated=[False, True], outcome=[None, "goal"])
    told = statistics.summary()
    assert (told["outcome/goal"], told["time_out_share"]) == (0.5, 0.5)
    assert told["realised_return"] == pytest.approx((1.5 + 7.5) / 2)


def test_it_goes_on_from_its_state(statistics):
    step(statistics, [[1.0, 0.0]] * 2, reward=[1.0, 2.0], terminated=[True, False], outcome=["goal", None])
    other = ActingStatistics(2, 2, gammas=(0.5, 0.1))
    other.load_state_dict(statistics.state_dict())
    for one in (statistics, other):
        step(one, [[0.5, 0.0]] * 2, reward=[1.0, 2.0], truncated=[True, True], outcome=["time is up"] * 2)
    assert statistics.summary() == other.summary()
    with pytest.raises(UsageError, match="2 environments and these are of 3"):
        ActingStatistics(3, 2, gammas=(0.5, 0.1)).load_state_dict(statistics.state_dict())
