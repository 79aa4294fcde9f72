"""What the episodes of a training came to: held against sums made the long way round, and saved and restored."""

from itertools import pairwise

import numpy as np
import pytest

from tests.simulation.pole import Pole
from touchline.errors import UsageError
from touchline.learning.progress import SATURATED, EpisodeStatistics, against_stochastic, reward_terms
from touchline.learning.vector import ParallelVectorEnv, ResumableVectorEnv
from touchline.simulation.native import NativeWorld

GAMMA, ENVS = 0.9, 3


class Told(Pole):
    """The pole, and what its episodes come to."""

    episode_steps = 30

    def outcomes(self, physics, episode, xp):
        return {"fall": physics.qpos[:, 1] > 10.0, "right": physics.qpos[:, 0] > 0.0, "place": physics.qpos[:, 0]}


def told(task):
    from touchline.simulation.single import SingleWorld

    return SingleWorld(Told(), task)


class Upright:
    def __call__(self):
        return told("upright")


class Tilted:
    def __call__(self):
        return told("tilted")


def statistics(window=5):
    return EpisodeStatistics(ENVS, window, gamma=GAMMA)


def play(episodes, rng, steps):
    for _ in range(steps):
        tasks = np.array(["a", "b"], dtype=object)[rng.integers(0, 2, ENVS)]
        outcomes = {"touch": rng.random(ENVS) < 0.5, "distance": rng.normal(size=ENVS)}
        terminated, truncated = rng.random(ENVS) < 0.1, rng.random(ENVS) < 0.1
        info = {"final_info": {"task": tasks, "outcomes": outcomes}}
        episodes.add(rng.normal(size=ENVS), terminated, truncated, info, rng.uniform(-1, 1, (ENVS, 2)))


@pytest.mark.parametrize("steps", [0, 2, 60])
def test_restored_statistics_go_on_as_the_first_ones(steps):
    first, restored, rng, again = statistics(), statistics(), np.random.default_rng(0), np.random.default_rng()
    play(first, rng, steps)
    play(restored, np.random.default_rng(1), 9)
    state = first.state_dict()
    restored.load_state_dict(state)
    again.bit_generator.state = rng.bit_generator.state
    for episodes, draws in ((first, rng), (restored, again)):
        play(episodes, draws, 30)
    assert restored.summary() == first.summary()
    assert (restored.by_task(), restored.count) == (first.by_task(), first.count)
    unchanged = statistics()
    unchanged.load_state_dict(state)
    play(first, rng, 1)
    assert unchanged.count == state["count"] and unchanged.summary() != first.summary()


def test_statistics_of_another_number_of_environments_are_refused():
    with pytest.raises(UsageError, match="of 3 environments and these are of 4"):
        EpisodeStatistics(4).load_state_dict(statistics().state_dict())


def test_every_figure_is_the_mean_over_the_episodes_that_ended_last():
    rng, episodes = np.random.default_rng(3), statistics(window=4)
    rewards, actions, ended = [], [], []
    running = [([], []) for _ in range(ENVS)]
    for _ in range(80):
        reward, action = rng.normal(size=ENVS), rng.uniform(-1, 1, (ENVS, 5)).astype(np.float32)
        terminated, truncated = rng.random(ENVS) < 0.05, rng.random(ENVS) < 0.1
        episodes.add(reward, terminated, truncated, {}, action)
        for i, (rewards, actions) in enumerate(running):
            rewards.append(reward[i])
            actions.append(action[i])
            if terminated[i] or truncated[i]:
                ended.append((rewards, actions, bool(terminated[i])))
                running[i] = ([], [])
    last = ended[-4:]
    togo = [
        np.mean([sum(GAMMA**k * r for k, r in enumerate(paid[t:])) for t in range(len(paid))]) for paid, *_ in last
    ]
    rates = [np.mean([np.abs(b - a).mean() for a, b in pairwise(acted)] or [0.0]) for _, acted, _ in last]
    assert episodes.summary() == pytest.approx(
        {
            "episode_reward": np.mean([sum(paid) for paid, *_ in last]),
            "episode_length": np.mean([len(paid) for paid, *_ in last]),
            "fall_share": np.mean([fell for *_, fell in last]),
            "time_out_share": 1 - np.mean([fell for *_, fell in last]),
            "realised_return": np.mean(togo),
            "episode_saturation": np.mean([(np.abs(acted) > SATURATED).mean() for _, acted, _ in last]),
            "episode_action_rate": np.mean(rates),
        },
        rel=1e-5,
    )


def test_a_training_world_tells_the_outcomes_of_each_task_and_which_ends_are_falls():
    envs = NativeWorld(Told(), 6)
    envs.reset(seed=0, options={"tasks": ["upright", "tilted"] * 3})
    episodes = EpisodeStatistics(6)
    while episodes.count < 6:
        episodes.add(*envs.step(np.linspace(-1, 1, 6)[:, None])[1:])
    by_task = episodes.by_task()
    assert set(by_task) == {"upright", "tilted"}
    assert 0 < episodes.summary()["right_share"] < 1
    assert episodes.summary()["fall_share"] == 0.0  # the pole tips over, which this world does not call a fall
    assert episodes.summary()["time_out_share"] < 1.0
    assert by_task["upright"]["episode_reward"] > by_task["tilted"]["episode_reward"]


def test_target_environments_tell_the_same_side_by_side_and_over_processes():
    makes = [Upright(), Tilted(), Tilted()]
    found = []
    for envs in (ResumableVectorEnv(makes), ParallelVectorEnv(makes, processes=2)):
        envs.reset(seed=0)
        episodes = EpisodeStatistics(3)
        for _ in range(70):
            _, reward, terminated, truncated, info = envs.step(np.array([[0.5], [-0.5], [0.5]]))
            episodes.add(reward, terminated, truncated, info)
            terms = reward_terms(info)
        envs.close()
        found.append((episodes.summary(), episodes.by_task(), {name: each.tolist() for name, each in terms.items()}))
    assert found[0] == found[1]
    summary, by_task, terms = found[0]
    assert by_task["upright"]["right_share"] == 1.0 and 0 < by_task["tilted"]["right_share"] < 1
    assert set(terms) == {"upright", "near"} and "place" in summary


def test_a_term_that_only_some_environments_have_is_told_of_those():
    info = {"reward_terms": {"goal": np.array([0.0, 1.0, 0.0]), "_goal": np.array([False, True, True])}}
    assert {name: each.tolist() for name, each in reward_terms(info).items()} == {"goal": [1.0, 0.0]}


@pytest.mark.parametrize("terms", [0.5, np.ones(2), "x", {"goal": "near"}, {"goal": 1.0}, None])
def test_terms_of_an_environment_that_means_something_else_by_them_are_left_out(terms):
    assert reward_terms({"terms": terms}) == {}


@pytest.mark.parametrize(
    "final",
    [
        np.array([None, {"score": 1.0}], dtype=object),
        {"outcomes": "won", "score": {"a": 1}, "task": "stand"},
        {"outcomes": {"who": np.array(["me", "you"]), "won": True}, "score": np.ones((2, 2))},
        {"outcomes": {"return": np.full(2, 99.0), "length": np.full(2, 7.0)}, "task": 3},
    ],
)
def test_what_an_environment_keeps_under_our_names_changes_no_figure_of_ours(final):
    ended = np.array([True, False])
    plain, strange = EpisodeStatistics(2), EpisodeStatistics(2)
    plain.add(np.array([2.0, 4.0]), ended, ~ended)
    strange.add(np.array([2.0, 4.0]), ended, ~ended, {"final_info": final})
    assert strange.summary() == plain.summary()
    assert strange.by_task() == {}


def test_a_deterministic_return_is_held_against_the_episodes_that_explore():
    episodes = EpisodeStatistics(2)
    assert against_stochastic(3.0, episodes) == {}
    episodes.add(np.array([2.0, 4.0]), np.array([True, False]), np.array([False, True]))
    assert against_stochastic(2.4, episodes) == pytest.approx(
        {"deterministic_minus_stochastic": -0.6, "deterministic_over_stochastic": 0.8}
    )
    assert set(against_stochastic(-1.0, episodes)) == {"deterministic_minus_stochastic"}


def test_a_step_that_only_began_an_episode_is_no_step_of_it():
    same, following = EpisodeStatistics(1, gamma=GAMMA), EpisodeStatistics(1, gamma=GAMMA)
    no, yes = np.zeros(1, bool), np.ones(1, bool)
    for k in range(12):
        reward, action, over = np.full(1, 1.0 + k), np.full((1, 2), 0.1 * k), yes if k % 4 == 3 else no
        for statistics in (same, following):
            statistics.add(reward, no, over, None, action)
        if over[0]:
            following.add(np.full(1, 99.0), no, no, None, np.ones((1, 2)), valid=no)
    assert same.summary() == following.summary()
