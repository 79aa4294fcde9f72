"""SAC learns on any same-step vector environment."""

import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from tests.learning.toy import steer
from touchline.errors import UsageError
from touchline.learning import sac_train
from touchline.learning.evaluate_vector import evaluate_vector
from touchline.learning.sac import Batch, Sac, to_policy
from touchline.learning.sac_config import SacConfig

SMALL = SacConfig(
    actor_hidden=(32, 32),
    critic_hidden=(32, 32),
    batch_size=64,
    updates_per_step=4,
    warmup_steps=200,
    replay_size=5_000,
    reward_scale=1.0,
    actor_lr=3e-3,
    critic_lr=3e-3,
    tau=0.05,
)


def batch(sac, k=2, b=8, seed=0, **given):
    rng = np.random.default_rng(seed)
    n, m = sac.observation_size, sac.action_size
    values = {
        "observation": rng.normal(size=(k, b, n)),
        "action": rng.uniform(-1, 1, (k, b, m)),
        "reward": rng.normal(size=(k, b)),
        "next_observation": rng.normal(size=(k, b, n)),
        "terminated": np.zeros((k, b)),
    } | given
    return Batch(**{name: jnp.asarray(value, jnp.float32) for name, value in values.items()})


@pytest.fixture(scope="module")
def trained():
    envs = steer(8)
    *_, last = sac_train.train(envs, SMALL, total_steps=6_000, seed=0)
    return last


def test_it_learns_to_steer(trained):
    sac = Sac(1, 1, SMALL)
    before = evaluate_vector(steer(32), to_policy(sac.init(0)), seed=5).returns
    after = evaluate_vector(steer(32), to_policy(trained.state), seed=5).returns
    assert before.mean() < -1.0
    assert after.mean() > -0.35


def test_progress_counts_transitions_updates_and_the_buffer(trained):
    assert trained.step == 6_000
    assert trained.buffer_size == 5_000
    assert trained.updates == (6_000 - 200 + 8) // 8 * 4
    assert trained.episodes.summary()["episode_length"] == 10
    assert trained.episodes.summary()["fall_share"] == 0
    assert {"critic_loss", "actor_loss", "entropy", "alpha"} <= set(trained.metrics)


def test_the_numpy_policy_acts_as_the_jax_actor(trained):
    observation = np.linspace(-1, 1, 11, dtype=np.float32)[:, None]
    jax_action = Sac(1, 1, SMALL).act(trained.state, observation)
    assert np.allclose(to_policy(trained.state)(observation), jax_action, atol=1e-6)


def critic_targets(terminated):
    """The critics' value of one repeated transition after many updates."""
    sac = Sac(1, 1, SMALL)
    state = sac.init(0)
    one = {
        "observation": np.zeros((4, 64, 1)),
        "next_observation": np.zeros((4, 64, 1)),
        # All actions: where the critics saw one alone, the lower of the two drifts at the others as rounding has it.
        "action": np.random.default_rng(0).uniform(-1, 1, (4, 64, 1)),
        "reward": np.ones((4, 64)),
        "terminated": np.full((4, 64), terminated),
    }
    for _ in range(500):
        state, metrics = sac.update(state, batch(sac, **one))
    return float(metrics["q_mean"])


def test_a_true_end_does_not_bootstrap_and_a_time_out_does():
    assert critic_targets(1.0) == pytest.approx(1.0, abs=0.05)
    assert critic_targets(0.0) > 1.5


def test_another_reset_mode_is_refused():
    with pytest.raises(UsageError, match="same-step"):
        next(sac_train.train(steer(2, AutoresetMode.NEXT_STEP), SMALL, total_steps=10, seed=0))


def test_a_loss_that_is_not_finite_stops_with_its_step():
    with pytest.raises(FloatingPointError, match="policy transition"):
        for _ in sac_train.train(
            steer(8), SacConfig(**{**vars(SMALL), "reward_scale": float("inf")}), total_steps=1_000, seed=0
        ):
            pass
