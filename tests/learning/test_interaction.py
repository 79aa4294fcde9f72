"""Learners see one kind of vector environment, whatever restarts its episodes and bounds its actions."""

import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tests.learning.toy import Steer, steer
from touchline.errors import UsageError
from touchline.learning.interaction import Environments
from touchline.learning.progress import EpisodeStatistics


def played(mode, steps=33):
    """The valid transitions of one environment that is always steered alike."""
    environments = Environments(steer(1, mode))
    observation, ended, kept = environments.reset(7), np.zeros(1, bool), []
    for _ in range(steps):
        step = environments.step(-0.5 * observation, ended)
        if step.valid[0]:
            kept.append((observation[0, 0], step.reward[0], step.final_observation[0, 0], bool(step.truncated[0])))
        observation, ended = step.observation, step.ended
    return kept


def test_episodes_restarted_in_the_next_step_give_the_same_transitions_as_in_the_same_step():
    same, following = played(AutoresetMode.SAME_STEP), played(AutoresetMode.NEXT_STEP)
    assert len(same) == 33
    assert len(following) == 33 - 3
    assert following == same[:30]
    assert [row[3] for row in same[:20]] == ([False] * 9 + [True]) * 2


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_what_an_episode_tells_at_its_end_is_read_whatever_restarts_it(mode):
    environments, episodes, ended = Environments(steer(2, mode)), EpisodeStatistics(2), np.zeros(2, bool)
    environments.reset(7)
    for _ in range(13):
        step = environments.step(np.ones((2, 1), np.float32), ended)
        episodes.add(step.reward, step.terminated, step.truncated, step.info, valid=step.valid)
        ended = step.ended
    assert episodes.count == 2
    assert episodes.summary()["episode_score"] == -((2.0 - 1.0) ** 2)


def test_actions_are_stretched_to_the_bounds_of_the_space():
    taken = []

    class Wide(Steer):
        action_space = gymnasium.spaces.Box(np.float32(-1.0), np.float32(3.0), (1,), np.float32)

        def step(self, action):
            taken.append(float(action[0]))
            return super().step(action)

    environments = Environments(SyncVectorEnv([Wide], autoreset_mode=AutoresetMode.SAME_STEP))
    environments.reset(0)
    for action in (-1.0, 0.0, 1.0):
        environments.step(np.array([[action]], np.float32), np.zeros(1, bool))
    assert taken == [-1.0, 1.0, 3.0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"action_space": gymnasium.spaces.Discrete(2)}, "The actions are Discrete.*choices among a few"),
        ({"action_space": gymnasium.spaces.Box(-1, 1, (0,))}, "The actions are Box"),
        ({"action_space": gymnasium.spaces.Box(1, 1, (1,))}, "none with room between them"),
        ({"action_space": gymnasium.spaces.Box(-3e38, 3e38, (1,))}, "no bounds"),
        ({"action_space": gymnasium.spaces.Box(-np.inf, np.inf, (1,))}, "no bounds"),
        ({"observation_space": gymnasium.spaces.Box(-1, 1, (2, 2))}, "The observations are Box"),
    ],
)
def test_spaces_that_no_learner_here_can_use_are_refused(changed, told):
    other = type("Other", (Steer,), changed)
    with pytest.raises(UsageError, match=told):
        Environments(SyncVectorEnv([other], autoreset_mode=AutoresetMode.SAME_STEP))


def test_environments_that_nothing_restarts_are_refused():
    with pytest.raises(UsageError, match="Nothing restarts"):
        Environments(steer(2, AutoresetMode.DISABLED))


class Broken(Steer):
    """Goes wrong in one place, told by its subclass."""

    where, value = "", float("nan")

    def reset(self, **options):
        observation, info = super().reset(**options)
        return (observation * self.value if self.where == "reset" else observation), info

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if self.where == "reward":
            reward = self.value
        if self.where == "observation" or (self.where == "final observation" and truncated):
            observation = np.full_like(observation, self.value)
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize(
    ("where", "value"),
    [
        *itertools.product(["reset", "observation", "final observation"], [float("nan"), float("inf"), 1e20]),
        ("reward", float("nan")),  # a large one is finite, and the losses tell of it
        ("reward", float("inf")),
    ],
)
def test_what_no_learner_can_use_is_told_with_its_environment(where, value, mode):
    broken = type("Broken", (Broken,), {"where": where, "value": value})
    environments = Environments(SyncVectorEnv([Steer, broken], autoreset_mode=mode))
    with pytest.raises(FloatingPointError, match="Environment 1 gave"):
        environments.reset(0)
        for _ in range(10):
            environments.step(np.ones((2, 1), np.float32), np.zeros(2, bool))


def test_an_environment_alone_is_no_vector_of_them():
    with pytest.raises(UsageError, match="is no vector environment. Make one"):
        Environments(Steer())


def test_environments_that_answer_in_the_same_arrays_give_the_same_transitions():
    def seen(copy):
        envs = SyncVectorEnv([Steer] * 2, copy=copy, autoreset_mode=AutoresetMode.SAME_STEP)
        environments = Environments(envs)
        found, ended = [environments.reset(3)], np.zeros(2, bool)
        for _ in range(12):
            step = environments.step(np.full((2, 1), 0.25, np.float32), ended)
            found += [step.observation, step.final_observation, step.reward]
            ended = step.ended
        return np.concatenate([each.ravel() for each in found])  # once all are there: the first may have changed

    assert np.array_equal(seen(copy=False), seen(copy=True))


def test_an_environment_may_change_the_actions_that_it_is_given():
    class InPlace(Steer):
        def step(self, action):
            action *= 0.5
            return super().step(action)

    environments = Environments(SyncVectorEnv([InPlace], autoreset_mode=AutoresetMode.SAME_STEP))
    environments.reset(0)
    action = np.ones((1, 1), np.float32)
    action.setflags(write=False)  # as those that JAX lends are
    environments.step(action, np.zeros(1, bool))
    assert action == 1.0
