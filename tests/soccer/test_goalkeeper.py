"""The goalkeepers patrol their lines, and what is seen of them is what the official environment showed."""

import numpy as np

from touchline.soccer.goalkeeper import goalkeeper, goalkeeper_seen
from touchline.soccer.tasks import EPISODE_PHYSICS_STEPS, PHYSICS_TIMESTEP


def test_they_patrol_a_metre_to_each_side():
    y, velocity = goalkeeper(np.linspace(0, 10, 1001))
    assert np.isclose(np.abs(y).max(), 1.0, atol=1e-3)
    assert np.allclose(np.gradient(y, 0.01), velocity, atol=1e-2)


def test_they_stand_still_until_the_first_step():
    assert not np.any(goalkeeper_seen(np.zeros(2)))


def test_their_posts_slow_them_at_the_ends_of_the_line_alone():
    time = PHYSICS_TIMESTEP * np.arange(1, EPISODE_PHYSICS_STEPS + 1)
    y, seen = goalkeeper_seen(time)
    _, driven = goalkeeper(time - PHYSICS_TIMESTEP)
    touching = np.abs(seen - driven) > 1e-6
    assert 0.3 < touching.mean() < 0.4
    assert np.abs(y[touching]).min() > 0.83
    assert np.abs(y[~touching & (np.abs(driven) > 0.1)]).max() < 0.88
    assert np.abs(seen - driven).max() > 0.4


def test_they_go_on_beyond_the_official_time_limit():
    time = PHYSICS_TIMESTEP * np.arange(1, 50)
    for now, later in zip(goalkeeper_seen(time), goalkeeper_seen(time + 10.0), strict=True):
        assert np.allclose(now, later, atol=1e-9)
