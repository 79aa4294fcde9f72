"""DDPG goes on from a policy it is given, on any same-step vector environment."""

import copy
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.learning.test_policy import random_policy
from tests.learning.toy import Steer, resumable_steer, steer
from touchline.errors import UsageError
from touchline.learning import ddpg_train
from touchline.learning.convert import mlp_of, policy_of
from touchline.learning.ddpg import DDPG_FF
from touchline.learning.ddpg_config import DdpgConfig, horizon_seconds
from touchline.learning.evaluate_vector import evaluate_vector
from touchline.learning.flat import FlatParameters
from touchline.learning.replay import Transitions
from touchline.learning.vector import ParallelVectorEnv

CONFIG = DdpgConfig(
    critic_hidden=(32, 32),
    actor_lr=1e-3,
    batch_size=64,
    updates_per_transition=1.0,
    warmup_steps=100,
    critic_warmup_updates=100,
    noise=0.2,
    anchor=0.0,
    reward_scale=1.0,
    score_share=0.0,
)
torch.set_num_threads(1)  # networks of this size only wait for more
PLACES = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]


@pytest.fixture(scope="module")
def start():
    return random_policy(2, (1, 16, 16, 1))


def trained(start, total_steps=1_600, envs=None, **changes):
    config = replace(CONFIG, **changes)
    *_, last = ddpg_train.train(envs or steer(4), start, config, total_steps=total_steps, seed=0)
    return last


def end_of(policy):
    """Where an episode of 10 steps from 0 ends."""
    env = Steer()
    env.reset(seed=0)
    env.x = 0.0
    for _ in range(10):
        env.step(policy(np.array([env.x], np.float32)))
    return env.x


@pytest.fixture(scope="module")
def tuned(start):
    return trained(start)


def test_it_improves_the_policy_it_started_from(start, tuned):
    before = evaluate_vector(steer(32), start, seed=5).returns.mean()
    after = evaluate_vector(steer(32), policy_of(tuned.state.actor, start), seed=5).returns.mean()
    assert after > before + 0.5
    assert after > -0.5


def test_annealed_to_the_score_it_goes_where_the_score_wants_it(start, tuned):
    last = trained(start, score_share=1.0, score_from=300, score_until=800, tau=0.02)
    assert abs(end_of(policy_of(tuned.state.actor, start))) < 0.3
    assert abs(end_of(policy_of(last.state.actor, start)) - 1.0) < 0.3
    assert last.metrics["score_share"] == 1.0
    assert last.metrics["dense_share"] == 0.0
    assert last.episodes.summary()["episode_score"] > -0.2
    assert last.episodes.summary()["time_out_share"] == 1.0


def test_the_actor_is_left_alone_until_the_critic_is_warm(start):
    last = trained(start, total_steps=400, critic_warmup_updates=10**9)
    assert last.updates > 0
    assert np.array_equal(policy_of(last.state.actor, start)(PLACES), start(PLACES))


def moved(last, start):
    return np.abs(policy_of(last.state.actor, start)(PLACES) - start(PLACES)).mean()


def test_a_strong_anchor_keeps_the_actor_close_and_lets_go_as_it_decays(start, tuned):
    assert moved(trained(start, 800, anchor=1e4, anchor_half_life=0), start) < 0.2 * moved(tuned, start)
    assert moved(trained(start, 1_200, anchor=1e4, anchor_half_life=40), start) > 0.5 * moved(tuned, start)


def batch_of(**parts):
    zeros, none = torch.zeros(64, 1), torch.zeros(64)
    whole = {"observation": zeros, "action": zeros, "next_observation": zeros, "reward": none, "score": none}
    flags = {"terminated": none, "ended": none}
    return Transitions(**(whole | flags | {name: torch.full((64,), value) for name, value in parts.items()}))


def learnt(start, **parts):
    """Both values after the same transition was learnt again and again, at discounts of 0.5."""
    torch.manual_seed(0)
    config = replace(CONFIG, gamma=0.5, score_gamma=0.5, reward_scale=1.0, tau=0.05)
    learner = DDPG_FF(mlp_of(start), config)
    for _ in range(500):
        learner.update(batch_of(**parts), train_actor=False)
    return learner.critic(torch.zeros(1, 2))[0].tolist()


def test_a_time_out_bootstraps_the_dense_reward_and_is_the_end_of_the_score(start):
    assert learnt(start, reward=1.0, score=3.0, ended=1.0) == pytest.approx([2.0, 3.0], abs=0.1)


def test_a_true_end_is_the_end_of_both(start):
    assert learnt(start, reward=1.0, score=3.0, terminated=1.0, ended=1.0) == pytest.approx([1.0, 3.0], abs=0.1)


def test_in_the_middle_of_an_episode_both_bootstrap(start):
    assert learnt(start, reward=1.0, score=1.0) == pytest.approx([2.0, 2.0], abs=0.1)


def test_what_the_critic_expects_is_comparable_with_what_came(start):
    last = trained(start, total_steps=2_000, gamma=0.5, score_gamma=0.9, tau=0.05, noise=0.05, actor_lr=0.0)
    # The critic looks beyond the time-out, after which nothing came: 2 of 10 steps.
    assert last.metrics["q_mean"] == pytest.approx(last.episodes.summary()["realised_return"], rel=0.25)


def test_environments_in_other_processes_step_while_it_updates_and_change_no_bit(start):
    parallel = ParallelVectorEnv([Steer] * 4, processes=2)
    try:
        there = trained(start, total_steps=300, envs=parallel)
    finally:
        parallel.close()
    here = trained(start, total_steps=300, envs=resumable_steer(4))
    assert there.metrics == here.metrics
    assert np.array_equal(policy_of(there.state.actor, start)(PLACES), policy_of(here.state.actor, start)(PLACES))


def test_it_leaves_the_global_generator_alone_once_its_networks_are_initialised(start):
    states = [torch.get_rng_state() for _ in ddpg_train.train(steer(4), start, CONFIG, total_steps=200, seed=0)]
    assert all(torch.equal(state, states[0]) for state in states)


def test_another_reset_mode_is_refused(start):
    with pytest.raises(UsageError, match="same-step"):
        trained(start, 10, steer(2, AutoresetMode.NEXT_STEP))


class Broken(Steer):
    """Never tells a score, and pays NaN from its fourth step on."""

    def step(self, action):
        observation, reward, *ends, _ = super().step(action)
        return observation, reward if self.steps < 4 else np.nan, *ends, {}


class Silent(Steer):
    def step(self, action):
        return *super().step(action)[:-1], {}


def vector(env):
    return SyncVectorEnv([env] * 2, autoreset_mode=AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("low, high", [(0.0, 10.0), (-2.0, 2.0)])
def test_actions_are_stretched_to_the_bounds_of_the_environment(start, low, high):
    taken = []

    class Bounded(Steer):
        action_space = gymnasium.spaces.Box(low, high, (1,), np.float32)

        def step(self, action):
            taken.append(float(action[0]))
            return super().step(action)

    trained(start, 200, vector(Bounded), noise=1.0)
    assert low <= min(taken) < low + 0.1 * (high - low)
    assert high >= max(taken) > high - 0.1 * (high - low)


def test_a_policy_of_another_size_is_refused(start):
    class Wide(Steer):
        observation_space = gymnasium.spaces.Box(-2.0, 2.0, (3,), np.float32)

    with pytest.raises(UsageError, match="takes 1 numbers and gives 1, .*observations of 3"):
        trained(start, 10, vector(Wide))


@pytest.mark.parametrize(
    "wrong",
    [{"anchor": float("inf")}, {"critic_hidden": (0,)}, {"gamma": 1.0}, {"batch_size": 2.5}, {"noise": -0.1}],
    ids=str,
)
def test_a_configuration_that_cannot_learn_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DdpgConfig(**wrong)


def test_a_reward_that_is_no_number_ends_the_training_with_its_environment_and_remedy(start):
    with pytest.raises(FloatingPointError, match=r"Environment 0 gave a reward .*Mend the environment"):
        trained(start, 100, vector(Broken))


def test_a_loss_that_is_no_number_ends_the_training_with_step_and_remedy(start):
    with pytest.raises(
        FloatingPointError, match=r"critic_loss became (inf|nan) at policy .* Lower the learning rates"
    ):
        trained(start, 1_000, reward_scale=1e38)


def test_an_environment_that_tells_no_score_is_refused_only_where_one_is_needed(start):
    assert "episode_score" not in trained(start, 60, vector(Silent)).episodes.summary()
    with pytest.raises(UsageError, match='no "score".*score_share to 0'):
        trained(start, 60, vector(Silent), score_share=0.5)


@given(st.integers(0, 20_000), st.integers(0, 5_000), st.integers(0, 5_000), st.floats(0.0, 1.0))
def test_the_score_takes_over_evenly_between_two_transitions(step, first, length, share):
    config = DdpgConfig(score_from=first, score_until=first + length, score_share=share)
    at = config.score_share_at(step)
    assert 0.0 <= at <= share
    assert at <= config.score_share_at(step + 1)
    assert (at == 0.0) if step < first else True
    assert (at == share) if step >= first + length else True


def test_schedules_and_horizons_as_the_documentation_tells_them():
    config = DdpgConfig(anchor=2.0, anchor_half_life=100, warmup_steps=10, updates_per_transition=0.25)
    assert [config.anchor_at(step) for step in (0, 100, 200)] == [2.0, 1.0, 0.5]
    assert replace(config, anchor_half_life=0).anchor_at(10**6) == 2.0
    assert [config.updates_until(step) for step in (0, 10, 13, 14, 18)] == [0, 0, 0, 1, 2]
    assert horizon_seconds(0.99) == pytest.approx(2.0)
    assert horizon_seconds(DdpgConfig().score_gamma) == pytest.approx(10.0)
    with pytest.raises(UsageError, match="score_until"):
        DdpgConfig(score_from=100, score_until=99)


@settings(max_examples=25)
@given(st.integers(0, 1_000), st.floats(0.0, 1.0), st.floats(0.0, 5.0))
def test_an_update_follows_the_gradients_that_autograd_finds(seed, share, anchor):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = replace(CONFIG, critic_hidden=(7, 5), actor_lr=0.0, critic_lr=0.0, tau=0.0)
    learner = DDPG_FF(mlp_of(random_policy(seed, (3, 6, 4, 2))), config)
    for part in (learner.actor, learner.target_critic):
        for one in part.parameters():
            one.data += 0.1 * torch.randn_like(one)
    sizes = ((9, 3), (9, 2), (9, 3), (9,), (9,))
    random_parts = [torch.from_numpy(rng.standard_normal(shape, np.float32)) for shape in sizes]
    flags = [torch.from_numpy((rng.random(9) < 0.5).astype(np.float32)) for _ in range(2)]
    batch = Transitions(*random_parts, *flags)
    told = learner.update(batch, train_actor=True, score_share=share, anchor=anchor)

    with torch.no_grad():
        following = learner.target_critic(
            torch.cat([batch.next_observation, learner.target_actor(batch.next_observation)], -1)
        )
    dense = config.reward_scale * batch.reward + config.gamma * (1 - batch.terminated) * following[:, 0]
    score = config.score_scale * batch.score + config.score_gamma * (1 - batch.ended) * following[:, 1]
    value = learner.critic(torch.cat([batch.observation, batch.action], -1))
    critic_loss = torch.nn.functional.mse_loss(value, torch.stack([dense, score], -1))
    wanted = learner.actor(batch.observation)
    worth = learner.critic(torch.cat([batch.observation, wanted], -1))
    dense_size, score_size = worth.detach().abs().mean(0).clamp_min(1e-3)
    distance = torch.nn.functional.mse_loss(wanted, learner.start_actor(batch.observation))
    parts = (1 - share) * worth[:, 0].mean() / dense_size + share * worth[:, 1].mean() / score_size
    actor_loss = anchor * distance - parts
    for name, loss, part in (
        ("critic_loss", critic_loss, learner.critic),
        ("actor_loss", actor_loss, learner.actor),
    ):
        expected = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True)
        flat = torch.cat([one.flatten() for one in expected])
        flat /= max(1.0, float(flat.norm()))  # as cut
        mine = torch.cat([one.grad.flatten() for one in part.parameters()])
        assert torch.allclose(mine, flat, atol=2e-5)
        assert float(told[name]) == pytest.approx(float(loss.detach()), rel=1e-4, abs=1e-5)


def test_one_vector_of_parameters_learns_what_pytorch_makes_of_many():
    torch.manual_seed(0)
    flat = mlp_of(random_policy(3, (3, 8, 2)))
    plain = copy.deepcopy(flat)
    parameters = FlatParameters(flat)
    mine = torch.optim.Adam([parameters.vector], lr=1e-2, fused=True)
    theirs = torch.optim.Adam(plain.parameters(), lr=1e-2)
    for _ in range(20):
        x = torch.randn(16, 3)
        parameters.descend(flat(x).pow(2).sum(), mine, 1.0)
        theirs.zero_grad()
        plain(x).pow(2).sum().backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        theirs.step()
    for one, other in zip(flat.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_entropy_of_the_exploration_is_that_of_its_gaussian():
    from scipy.stats import norm

    assert ddpg_train.exploration_entropy(0.2, 3) == pytest.approx(3 * norm(scale=0.2).entropy())


def test_gymnasium_is_all_it_needs_of_an_environment(start):
    envs = gymnasium.make_vec(
        "Pendulum-v1", 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    assert trained(random_policy(0, (3, 8, 1)), 20, envs).step == 20
