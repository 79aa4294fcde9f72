"""The native backend: real MuJoCo physics as a Gymnasium vector environment."""

import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.native import NativeSoccer
from touchline.soccer.rewards import RewardWeights, total
from touchline.soccer.world import WorldConfig

QUIET = {"joint_noise": 0.0, "velocity_noise": 0.0}


@pytest.fixture
def make():
    made = []

    def build(n, **config):
        made.append(NativeSoccer(n, WorldConfig(**config)))
        return made[-1]

    yield build
    for env in made:
        env.close()


def steps_until_the_fall(env, limit):
    env.reset(seed=0)
    for step in range(1, limit + 1):
        _, _, terminated, truncated, _ = env.step(np.zeros((env.num_envs, 12)))
        if terminated.any() or truncated.any():
            return step, bool(terminated[0])
    return limit, False


def test_soft_ankles_fall_within_1_2_seconds_without_a_policy(make):
    steps, fell = steps_until_the_fall(make(1, controller=soft_ankles(), **QUIET), 100)
    assert fell and steps == 58  # 575 physics steps of 2 ms, as in the official environment


def test_stiff_ankles_stand_for_the_whole_episode(make):
    steps, fell = steps_until_the_fall(make(1, controller=stand_still(), **QUIET), 500)
    assert (steps, fell) == (500, False)


def test_a_time_out_truncates_and_hands_over_the_final_observation(make):
    env = make(3, controller=stand_still(), episode_steps=5, **QUIET)
    env.reset(seed=0)
    for _ in range(4):
        *_, info = env.step(np.zeros((3, 12)))
        assert "final_obs" not in info
    observation, _, terminated, truncated, info = env.step(np.zeros((3, 12)))
    assert truncated.all() and not terminated.any()
    assert not np.allclose(info["final_obs"], observation)


def test_the_same_seed_gives_the_same_episodes(make):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (30, 8, 12))

    def play():
        env = make(8)
        observations = [env.reset(seed=7)[0]]
        observations += [env.step(action)[0] for action in actions]
        return np.stack(observations)

    assert np.array_equal(play(), play())


def test_every_task_appears_and_its_one_hot_says_so(make):
    observation, _ = make(200).reset(seed=0)
    assert (observation[:, 86:].sum(axis=1) == 1).all()
    assert (observation[:, 86:].sum(axis=0) > 30).all()


def test_the_reward_is_the_weighted_sum_of_its_named_terms(make):
    weights = RewardWeights(alive=2.0, approach=3.0)
    env = make(4, weights=weights)
    env.reset(seed=0)
    _, reward, *_, info = env.step(np.full((4, 12), 0.3))
    assert reward == pytest.approx(total(info["terms"], weights))
    assert set(info["terms"]) == set(vars(weights))


def test_a_broken_state_ends_its_episode_and_poisons_nothing(make, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make(2, controller=stand_still(), **QUIET)
    env.reset(seed=0)
    env._state[0, 5] = np.nan
    observation, reward, terminated, _, info = env.step(np.zeros((2, 12)))
    assert terminated.tolist() == [True, False]
    assert np.isfinite(observation).all() and np.isfinite(reward).all() and np.isfinite(info["final_obs"]).all()
    assert "unstable" in caplog.text
    assert not list(tmp_path.iterdir())


def test_stepping_before_a_reset_is_told(make):
    with pytest.raises(RuntimeError, match="reset"):
        make(1).step(np.zeros((1, 12)))


@pytest.mark.parametrize("threads", [1, 2])
def test_it_goes_on_in_another_object_to_the_same_bits_across_falls_and_time_outs(threads):
    rng = np.random.default_rng(0)
    before, after = rng.uniform(-1, 1, (2, 70, 5, 12))
    config = WorldConfig(episode_steps=45)
    first, second = NativeSoccer(5, config), NativeSoccer(5, config, threads=threads)
    ended = np.zeros(2, bool)
    for env, seed in ((first, 7), (second, 8)):  # the second has played something else
        env.reset(seed=seed)
        for action in before if env is first else after:
            env.step(action)
    second.load_state_dict(first.state_dict())
    for action in after:
        *mine, info = first.step(action)
        *other, told = second.step(action)
        ended |= [mine[2].any(), mine[3].any()]
        assert all(np.array_equal(a, b) for a, b in zip(mine, other, strict=True))
        assert all(np.array_equal(info["terms"][name], told["terms"][name]) for name in info["terms"])
    assert ended.all()
    assert np.array_equal(first.reset()[0], second.reset()[0])
    first.close()
    second.close()


def test_what_was_saved_stays_as_it_was(make):
    env = make(3)
    env.reset(seed=0)
    state = env.state_dict()
    physics, step = state["physics"].copy(), state["episode"]["step"].copy()
    env.step(np.ones((3, 12)))
    assert np.array_equal(state["physics"], physics)
    assert np.array_equal(state["episode"]["step"], step)


def test_a_state_of_other_scenes_is_refused(make):
    with pytest.raises(UsageError, match=r"of 3 scenes of \d+ numbers, and this one of 2 scenes"):
        make(2).load_state_dict(make(3).state_dict())
