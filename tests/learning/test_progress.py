"""Episode statistics over a window of finished episodes, and their state."""

import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.learning.progress import EpisodeStatistics


def played(steps, seed=0, envs=3):
    statistics, rng = EpisodeStatistics(envs, window=5), np.random.default_rng(seed)
    play(statistics, rng, steps)
    return statistics, rng


def play(statistics, rng, steps):
    for _ in range(steps):
        statistics.add(rng.normal(size=3), rng.random(3) < 0.1, rng.random(3) < 0.1)


@pytest.mark.parametrize("steps", [0, 2, 60])
def test_restored_statistics_go_on_as_the_first_ones(steps):
    first, rng = played(steps)
    restored, _ = played(9, seed=1)
    restored.load_state_dict(first.state_dict())
    assert restored.summary() == first.summary()
    again = np.random.default_rng()
    again.bit_generator.state = rng.bit_generator.state
    play(first, rng, 30)
    play(restored, again, 30)
    assert (restored.summary(), restored.count) == (first.summary(), first.count)


def test_what_was_saved_stays_as_it_was():
    statistics, rng = played(20)
    state = statistics.state_dict()
    lengths = state["length"].tolist()
    play(statistics, rng, 1)
    assert state["length"].tolist() == lengths


def test_statistics_of_another_number_of_environments_are_refused():
    with pytest.raises(UsageError, match="of 3 environments and these are of 4"):
        EpisodeStatistics(4).load_state_dict(played(5)[0].state_dict())
