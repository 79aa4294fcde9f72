"""DDPG goes on from a policy it is given, on any same-step vector environment."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tests.learning.test_policy import random_policy
from tests.learning.toy import steer
from touchline.errors import UsageError
from touchline.learning import ddpg_train
from touchline.learning.convert import mlp_of, policy_of
from touchline.learning.ddpg import DDPG_FF
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.evaluate_vector import evaluate_vector

CONFIG = DdpgConfig(
    critic_hidden=(32, 32),
    actor_lr=1e-3,
    batch_size=64,
    updates_per_step=4,
    warmup_steps=100,
    critic_warmup_updates=100,
    noise=0.2,
    anchor=0.0,
    reward_scale=1.0,
)


@pytest.fixture(scope="module")
def start():
    return random_policy(2, (1, 16, 16, 1))


@pytest.fixture(scope="module")
def tuned(start):
    *_, last = ddpg_train.train(steer(4), start, CONFIG, total_steps=3_000, seed=0)
    return last


def test_it_improves_the_policy_it_started_from(start, tuned):
    before = evaluate_vector(steer(32), start, seed=5).returns.mean()
    after = evaluate_vector(steer(32), policy_of(tuned.state.actor, start), seed=5).returns.mean()
    assert after > before + 0.5
    assert after > -0.5


def test_the_actor_is_left_alone_until_the_critic_is_warm(start):
    config = DdpgConfig(**{**vars(CONFIG), "critic_warmup_updates": 10**9})
    *_, last = ddpg_train.train(steer(4), start, config, total_steps=400, seed=0)
    observation = np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    assert last.updates > 0
    assert np.array_equal(policy_of(last.state.actor, start)(observation), start(observation))


def test_a_strong_anchor_keeps_the_actor_close(start, tuned):
    config = DdpgConfig(**{**vars(CONFIG), "anchor": 1e4})
    *_, last = ddpg_train.train(steer(4), start, config, total_steps=3_000, seed=0)
    observation = np.linspace(-1, 1, 21, dtype=np.float32)[:, None]

    def moved(learner):
        return np.abs(policy_of(learner.actor, start)(observation) - start(observation)).mean()

    assert moved(last.state) < 0.2 * moved(tuned.state)


def test_a_true_end_does_not_bootstrap_and_a_time_out_does(start):
    def value(terminated):
        torch.manual_seed(0)
        learner = DDPG_FF(mlp_of(start), CONFIG)
        zeros, ones = torch.zeros(64, 1), torch.ones(64)
        for _ in range(1_500):
            metrics = learner.update(zeros, zeros, ones, zeros, torch.full((64,), terminated), train_actor=False)
        return metrics["q_mean"]

    assert value(1.0) == pytest.approx(1.0, abs=0.05)
    assert value(0.0) > 2.0


def test_it_leaves_the_global_generator_alone_once_its_networks_are_initialised(start):
    states = [torch.get_rng_state() for _ in ddpg_train.train(steer(4), start, CONFIG, total_steps=200, seed=0)]
    assert all(torch.equal(state, states[0]) for state in states)


def test_another_reset_mode_is_refused(start):
    with pytest.raises(UsageError, match="same-step"):
        next(ddpg_train.train(steer(2, AutoresetMode.NEXT_STEP), start, CONFIG, total_steps=10, seed=0))


def test_the_entropy_of_the_exploration_is_that_of_its_gaussian():
    from scipy.stats import norm

    assert ddpg_train.exploration_entropy(0.2, 3) == pytest.approx(3 * norm(scale=0.2).entropy())
