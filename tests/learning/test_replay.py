"""The replay buffer keeps the newest transitions, and says what it keeps without copying it."""

import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.learning.replay import ReplayBuffer, Transitions


def transitions(first, count):
    value = np.arange(first, first + count, dtype=np.float32)
    wide = np.repeat(value[:, None], 3, axis=1)
    return Transitions(wide, wide[:, :2], value, wide + 1, value % 2)


def filled(count, capacity=10):
    buffer = ReplayBuffer(capacity, 3, 2)
    for first in range(0, count, 4):
        buffer.add(transitions(first, min(4, count - first)))
    return buffer


@pytest.mark.parametrize("count", [0, 7, 10, 23])
def test_a_restored_buffer_goes_on_as_the_first_one(count):
    first, restored = filled(count), ReplayBuffer(10, 3, 2)
    restored.load_state_dict(first.state_dict())
    for buffer in (first, restored):
        buffer.add(transitions(100, 4))
    drawn = (buffer.sample(np.random.default_rng(0), 64) for buffer in (first, restored))
    assert len(first) == len(restored)
    assert all(np.array_equal(mine, other) for mine, other in zip(*drawn, strict=True))


def test_its_state_is_the_filled_rows_and_no_copy():
    buffer = filled(7)
    rows = buffer.state_dict()["transitions"]["reward"]
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    buffer.add(transitions(50, 5))
    assert rows.tolist() == [53, 54, 2, 3, 4, 5, 6]


def test_a_full_buffer_that_was_used_before_takes_over_what_it_is_given():
    used = filled(23)
    used.load_state_dict(filled(7).state_dict())
    assert len(used) == 7
    assert used.sample(np.random.default_rng(0), 500).reward.max() == 6


@pytest.mark.parametrize(("sizes", "told"), [((20, 3, 2), "20 trans"), ((10, 4, 2), "4 obs"), ((10, 3, 1), "1 act")])
def test_a_buffer_of_other_sizes_is_refused_with_both(sizes, told):
    with pytest.raises(UsageError, match=f"10 transitions of 3 observations and 2 actions, and this one .*{told}"):
        ReplayBuffer(*sizes).load_state_dict(filled(5).state_dict())
