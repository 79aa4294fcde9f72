"""A world that does not fit is refused where it is made, with what does not fit."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from tests.simulation.pole import Pole
from touchline.errors import UsageError
from touchline.simulation.native import NativeWorld
from touchline.simulation.randomisation import Randomisation
from touchline.simulation.world import Start


class Wide(Pole):
    observation_size = 6


class Double(Pole):
    def observe(self, physics, episode, xp):
        return super().observe(physics, episode, xp).astype(np.float64)


class Unweighted(Pole):
    weights = MappingProxyType({"upright": 1.0})


class Scalar(Pole):
    def terms(self, physics, episode, moves, xp):
        return {**super().terms(physics, episode, moves, xp), "near": xp.zeros(())}


class Short(Pole):
    def start(self, uniform, task, xp):
        begun = super().start(uniform, task, xp)
        return Start(begun.qpos[:, :8], begun.qvel, begun.episode)


class Rooted(Pole):
    pushed = ()


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (Wide(), r"Wide: observe\(\.\.\.\) has shape \(2, 5\) for 2 rows where \(2, 6\) is needed"),
        (Double(), "Double.observe.. returns float64"),
        (Unweighted(), "terms near, upright and weights for upright"),
        (Scalar(), r"terms\(\.\.\.\)\['near'\] has shape \(\)"),
        (Short(), r"start\(\.\.\.\)\.qpos has shape \(2, 8\)"),
        (Rooted().varied(randomisation=Randomisation(push_speed=1.0)), "Rooted cannot be pushed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_fit_is_named(world, said):
    with pytest.raises(UsageError, match=said):
        NativeWorld(world, 2)


def test_the_spaces_are_those_of_the_world():
    env = NativeWorld(Pole(), 3)
    assert env.observation_space.shape == (3, 5)
    assert env.action_space.shape == (3, 1)
    assert env.metadata["render_fps"] == 100
    env.close()
