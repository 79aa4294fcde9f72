"""The native backend: real MuJoCo physics as a Gymnasium vector environment."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulation.pole import Goal, Pole
from touchline.errors import UsageError
from touchline.simulation.native import NativeWorld
from touchline.simulation.randomisation import LEVELS, Randomisation
from touchline.simulation.world import Start
from touchline.soccer.world import SoccerWorld


@pytest.fixture
def make():
    made = []

    def build(n, world=None, **options):
        made.append(NativeWorld(world or Pole(), n, **options))
        return made[-1]

    yield build
    for env in made:
        env.close()


def played(env, actions, seed=7):
    """Everything that an environment says, as one list of arrays."""
    said = [env.reset(seed=seed)[0]]
    for action in actions:
        *step, info = env.step(action)
        said += [*step, *info["terms"].values(), info.get("final_obs", np.zeros(1))]
    return said


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_time_out_truncates_and_hands_over_the_final_observation(make):
    env = make(3, Pole().varied(episode_steps=5))
    env.reset(seed=0, options={"tasks": [0, 0, 0]})
    for _ in range(4):
        *_, info = env.step(np.zeros((3, 1)))
        assert "final_obs" not in info
    observation, _, terminated, truncated, info = env.step(np.zeros((3, 1)))
    assert truncated.all() and not terminated.any()
    assert not np.allclose(info["final_obs"], observation)


def test_what_the_world_calls_an_end_terminates(make):
    env = make(2)
    env.reset(seed=0, options={"tasks": [1, 1]})
    ended = [env.step(np.full((2, 1), 1.0))[2].all() for _ in range(30)]
    assert any(ended)


def test_the_same_seed_gives_the_same_episodes(make):
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 8, 1))
    world = Pole().varied(randomisation=LEVELS["strong"])
    assert same(played(make(8, world), actions), played(make(8, world), actions))
    assert not same(played(make(8, world), actions), played(make(8, world), actions, seed=8))


def test_the_number_of_threads_changes_nothing(make):
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 8, 12))
    world = SoccerWorld(randomisation=LEVELS["strong"])
    assert same(played(make(8, world, threads=1), actions), played(make(8, world, threads=2), actions))


def test_a_given_start_begins_every_episode(make):
    start = Start(np.zeros((2, 9)), np.zeros((2, 8)), Goal(np.array([[0.5], [-0.5]])))
    start.qpos[:, 1], start.qpos[:, 5] = (0.1, 0.2), 1.0
    observation, _ = make(2).reset(seed=0, options={"start": start, "tasks": [0, 1]})
    assert observation == pytest.approx(np.array([[0, 0.1, 0, 0, 0.5], [0, 0.2, 0, 0, -0.5]]))


def test_the_reward_is_the_weighted_sum_of_its_named_terms(make):
    env = make(4)
    env.reset(seed=0)
    _, reward, *_, info = env.step(np.full((4, 1), 0.3))
    assert reward == pytest.approx(info["terms"]["upright"] + 0.1 * info["terms"]["near"])


def test_a_broken_state_ends_its_episode_and_poisons_nothing(make, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make(2)
    env.reset(seed=0, options={"tasks": [0, 0]})
    env._state[0, 2] = np.nan
    observation, reward, terminated, _, info = env.step(np.zeros((2, 1)))
    assert terminated.tolist() == [True, False]
    assert np.isfinite(observation).all() and np.isfinite(reward).all() and np.isfinite(info["final_obs"]).all()
    assert "unstable" in caplog.text
    assert not list(tmp_path.iterdir())


def test_stepping_before_a_reset_is_told(make):
    with pytest.raises(RuntimeError, match="reset"):
        make(1).step(np.zeros((1, 1)))


def test_pushes_come_as_often_and_as_hard_as_declared(make):
    world = Pole().varied(randomisation=Randomisation(push_speed=2.0, push_seconds=0.1), episode_steps=10**6)
    pushed, calm = make(500, world), make(500, Pole().varied(episode_steps=10**6))
    start = Start(np.zeros((500, 9)), np.zeros((500, 8)), Goal(np.zeros((500, 1))))
    start.qpos[:, 5] = 1.0
    for env in (pushed, calm):
        env.reset(seed=0, options={"start": start, "tasks": np.zeros(500, dtype=int)})
    difference = np.abs(pushed.step(np.zeros((500, 1)))[0] - calm.step(np.zeros((500, 1)))[0])[:, 2]
    assert 0.06 < (difference > 1e-6).mean() < 0.15  # a policy step of 10 ms, a push in 0.1 s
    assert 0.5 < difference.max() <= 2.0


def test_noise_has_its_declared_size_and_never_touches_physics(make):
    loud = Pole().varied(randomisation=Randomisation(noise=2.0))
    noisy, exact = make(2_000, loud), make(2_000)
    difference = noisy.reset(seed=0)[0] - exact.reset(seed=0)[0]
    assert difference.std(axis=0) == pytest.approx([0.02, 0.04, 0, 0, 0], rel=0.1)
    noisy.step(np.zeros((2_000, 1)))
    exact.step(np.zeros((2_000, 1)))
    assert np.array_equal(noisy.qpos, exact.qpos)


def test_episodes_play_on_different_variants_of_the_robot(make):
    env = make(64, Pole().varied(randomisation=Randomisation(mass=0.5, variants=8)))
    start = Start(np.zeros((64, 9)), np.zeros((64, 8)), Goal(np.zeros((64, 1))))
    start.qpos[:, 1], start.qpos[:, 5] = 0.2, 1.0
    env.reset(seed=0, options={"start": start, "tasks": np.zeros(64, dtype=int)})
    env.step(np.full((64, 1), 0.5))
    assert len(np.unique(env.qpos[:, 0])) == 8


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", ["none", "strong"])
def test_it_goes_on_in_another_object_to_the_same_bits_across_falls_and_time_outs(threads, level):
    rng = np.random.default_rng(0)
    before, after = rng.uniform(-1, 1, (2, 70, 12, 12))
    world = SoccerWorld(episode_steps=52, randomisation=LEVELS[level])
    first, second = NativeWorld(world, 12), NativeWorld(world, 12, threads=threads)
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
    physics, step = state["physics"].copy(), state["episodes"]["step"].copy()
    env.step(np.ones((3, 1)))
    assert np.array_equal(state["physics"], physics)
    assert np.array_equal(state["episodes"]["step"], step)


def test_a_reward_that_is_not_finite_ends_its_episode_and_pays_nothing(make):
    class Divided(Pole):
        def terms(self, physics, episode, moves, xp):
            terms = super().terms(physics, episode, moves, xp)
            return terms | {"near": xp.where(physics.time > 0.025, xp.nan, terms["near"])}

    env = make(2, Divided())
    env.reset(seed=0)
    ended = [env.step(np.zeros((2, 1))) for _ in range(3)]
    assert [step[2].all() for step in ended] == [False, False, True]
    assert (ended[-1][1] == 0).all()


def test_a_state_of_another_backend_is_refused(make):
    with pytest.raises(UsageError, match="no saved state of NativeWorld"):
        make(2).load_state_dict({"batch": None, "key": None})


def test_a_state_of_another_batch_is_refused(make):
    with pytest.raises(UsageError, match=r"of 3 scenes of \d+ numbers, and this one of 2 scenes"):
        make(2).load_state_dict(make(3).state_dict())


def test_a_world_without_a_teacher_says_so():
    with pytest.raises(UsageError, match="has no teacher"):
        Pole().demonstrate(np.zeros((1, 2)), np.zeros((1, 3)), np.zeros(1))
