"""The vector environment that can be saved goes on where it stood."""

import gymnasium
import numpy as np
import pytest

from tests.learning.toy import Steer, resumable_steer
from touchline.errors import UsageError
from touchline.learning.vector import ResumableVectorEnv


def test_it_goes_on_where_it_stood_across_the_next_episodes():
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 3, 1)).astype(np.float32)
    first, second = resumable_steer(3), resumable_steer(3)
    first.reset(seed=1)
    for action in actions[:13]:
        first.step(action)
    second.reset(seed=9)
    second.load_state_dict(first.state_dict())
    for action in actions[13:]:
        for mine, other in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            assert np.array_equal(mine, other)


def test_another_number_of_environments_is_refused():
    envs = resumable_steer(3)
    envs.reset(seed=0)
    with pytest.raises(UsageError, match="of 3 environments and these are 2"):
        resumable_steer(2).load_state_dict(envs.state_dict())


def test_a_wrapper_that_would_forget_its_own_state_is_refused():
    with pytest.raises(UsageError, match="TimeLimit has no state_dict"):
        ResumableVectorEnv([lambda: gymnasium.wrappers.TimeLimit(Steer(), 5)])
