"""A world that does not fit is refused where it is made, with what does not fit."""

from __future__ import annotations

from types import MappingProxyType

import mujoco
import numpy as np
import pytest

from tests.simulation.pole import XML, Pole
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


class Nan(Pole):
    def terms(self, physics, episode, moves, xp):
        return {**super().terms(physics, episode, moves, xp), "near": xp.full(2, xp.nan)}


class Still(Pole):
    decimation = 0


class Aimless(Pole):
    tasks = "upright"


class Tuple(Pole):
    def start(self, uniform, task, xp):
        return tuple(super().start(uniform, task, xp))


class Limp(Pole):
    def spec(self, *, visual=False):
        return mujoco.MjSpec.from_string(XML.replace('ctrlrange="-2 2"', ""))


@pytest.mark.parametrize(
    ("world", "said"),
    [
        (Wide(), r"Wide: observe\(\.\.\.\) has shape \(2, 5\) for 2 rows where \(2, 6\) is needed"),
        (Double(), "Double.observe.. returns float64"),
        (Unweighted(), "terms near, upright and weights for upright"),
        (Scalar(), r"terms\(\.\.\.\)\['near'\] has shape \(\)"),
        (Short(), r"start\(\.\.\.\)\.qpos has shape \(2, 8\)"),
        (Nan(), "'near'. is not finite at the start"),
        (Still(), "Still.decimation is 0"),
        (Aimless(), "a tuple of at least one task"),
        (Tuple(), "returns a tuple. Return a Start"),
        (Limp(), "the actuator number 0 has no ctrlrange"),
        (Pole().varied(randomisation="strong"), r"LEVELS\['medium'\]"),
        (Rooted().varied(randomisation=Randomisation(push_speed=1.0)), "Rooted cannot be pushed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_fit_is_named(world, said):
    with pytest.raises(UsageError, match=said):
        NativeWorld(world, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": [0, 1, 0]}, "tasks"),
        ({"tasks": [0, 1]}, "2 tasks were given for 3 environments"),
        ({"tasks": ["upright", "tilted", "tiltd"]}, "tilted"),
        ({"tasks": [0, 1, 7]}, "7"),
    ],
)
def test_reset_options_that_do_not_fit_are_refused(options, said):
    env = NativeWorld(Pole(), 3)
    with pytest.raises(UsageError, match=said):
        env.reset(options=options)
    env.close()


def test_tasks_are_given_by_name_too():
    env = NativeWorld(Pole(), 2)
    observation, _ = env.reset(seed=0, options={"tasks": ["upright", "tilted"]})
    assert observation[0, 1] < 0.05 < observation[1, 1]
    env.close()


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (np.zeros((1, 1)), r"shape \(1, 1\), and shape \(3, 1\) is needed"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.array([[0.0], [np.nan], [0.0]]), "of environment 1 is not finite"),
    ],
)
def test_actions_that_do_not_fit_are_refused_and_nothing_is_stepped(actions, said):
    env = NativeWorld(Pole(), 3)
    env.reset(seed=0)
    before = env.qpos
    with pytest.raises(UsageError, match=said):
        env.step(actions)
    assert np.array_equal(env.qpos, before)
    env.close()


@pytest.mark.parametrize("sizes", [{"num_envs": 0}, {"num_envs": 1, "threads": 0}])
def test_nothing_to_step_or_to_step_with_is_refused(sizes):
    with pytest.raises(UsageError, match="at least 1"):
        NativeWorld(Pole(), **sizes)


def test_the_spaces_are_those_of_the_world():
    env = NativeWorld(Pole(), 3)
    assert env.observation_space.shape == (3, 5)
    assert env.action_space.shape == (3, 1)
    assert env.metadata["render_fps"] == 100
    env.close()
