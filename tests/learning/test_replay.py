"""The replay buffer keeps the newest transitions, and says what it keeps without copying it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.learning.replay import ReplayBuffer, Transitions


def transitions(first, count):
    value = np.arange(first, first + count, dtype=np.float32)
    wide = np.repeat(value[:, None], 3, axis=1)
    return Transitions(wide, wide[:, :2], wide + 1, value, value / 2, value % 2, value % 3)


def filled(count, capacity=10):
    buffer = ReplayBuffer(capacity, 3, 2)
    for first in range(0, count, 4):
        buffer.add(transitions(first, min(4, count - first)))
    return buffer


def drawn(buffer, count):
    return buffer.split(buffer.sample(np.random.default_rng(0), count))


@pytest.mark.parametrize("count", [0, 7, 10, 23])
def test_a_restored_buffer_goes_on_as_the_first_one(count):
    first, restored = filled(count), ReplayBuffer(10, 3, 2)
    restored.load_state_dict(first.state_dict())
    for buffer in (first, restored):
        buffer.add(transitions(100, 4))
    assert len(first) == len(restored)
    assert all(np.array_equal(mine, other) for mine, other in zip(drawn(first, 64), drawn(restored, 64), strict=True))


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
def test_the_parts_of_a_drawn_row_are_those_of_one_transition(library):
    buffer = filled(23)
    rows = library(buffer.sample(np.random.default_rng(0), 5, 8))
    parts = buffer.split(rows)
    value = np.asarray(parts.reward)
    assert value.shape == (5, 8)
    assert set(value.ravel()) <= set(range(13, 23))
    expected = Transitions(
        np.stack([value] * 3, -1), np.stack([value] * 2, -1), np.stack([value + 1] * 3, -1), value, value / 2,
        value % 2, value % 3,
    )  # fmt: skip
    assert all(np.array_equal(np.asarray(part), other) for part, other in zip(parts, expected, strict=True))


@settings(max_examples=50)
@given(st.data(), st.integers(1, 4), st.integers(4, 30))
def test_the_score_is_credited_to_every_transition_of_its_episode_that_is_still_there(data, num_envs, capacity):
    buffer = ReplayBuffer(capacity, 1, 1)
    transition_of, length, expected = [], np.zeros(num_envs, int), {}
    for step in range(data.draw(st.integers(1, 20))):
        number = np.arange(step * num_envs, (step + 1) * num_envs, dtype=np.float32)
        none = np.zeros(num_envs, np.float32)
        buffer.add(Transitions(number[:, None], none[:, None], none[:, None], none, none, none, none))
        transition_of.append(number)
        length += 1
        for env in np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=num_envs, max_size=num_envs))):
            buffer.settle(int(env), num_envs, int(length[env]), 8.0, 0.5)
            expected |= {transition_of[step - back][env]: 8.0 * 0.5**back for back in range(length[env])}
            length[env] = 0
    there = buffer.split(buffer.state_dict()["rows"])
    for number, score, ended in zip(there.observation[:, 0], there.score, there.ended, strict=True):
        assert score == np.float32(expected.get(number, 0.0))
        assert ended == (number in expected)


def test_its_state_is_the_filled_rows_and_no_copy():
    buffer = filled(7)
    rewards = buffer.split(buffer.state_dict()["rows"]).reward
    assert rewards.tolist() == [0, 1, 2, 3, 4, 5, 6]
    buffer.add(transitions(50, 5))
    assert rewards.tolist() == [53, 54, 2, 3, 4, 5, 6]


def test_a_full_buffer_that_was_used_before_takes_over_what_it_is_given():
    used = filled(23)
    used.load_state_dict(filled(7).state_dict())
    assert len(used) == 7
    assert drawn(used, 500).reward.max() == 6


@pytest.mark.parametrize(("sizes", "told"), [((20, 3, 2), "20 trans"), ((10, 4, 2), "4 obs"), ((10, 3, 1), "1 act")])
def test_a_buffer_of_other_sizes_is_refused_with_both(sizes, told):
    with pytest.raises(UsageError, match=f"10 transitions of 3 observations and 2 actions, and this one .*{told}"):
        ReplayBuffer(*sizes).load_state_dict(filled(5).state_dict())
