"""SAC learns on any vector environment, on the host and on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from tests.learning.toy import DeviceSteer, Mirror, steer
from touchline.errors import UsageError
from touchline.learning import normaliser as norm
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
        "discount": np.full((k, b), sac.config.gamma),
    } | given
    values["weight"] = np.ones_like(values["reward"])
    return Batch(**{name: jnp.asarray(value, jnp.float32) for name, value in values.items()})


def returns_of(progress):
    return evaluate_vector(steer(32), to_policy(progress.state), seed=5).returns.mean()


@pytest.fixture(scope="module")
def trained():
    envs = steer(8)
    *_, last = sac_train.train(envs, SMALL, total_steps=6_000, seed=0)
    return last


def test_it_learns_to_steer(trained):
    sac = Sac(1, 1, SMALL)
    before = evaluate_vector(steer(32), to_policy(sac.init(0)), seed=5).returns
    assert before.mean() < -1.0
    assert returns_of(trained) > -0.35


@pytest.mark.parametrize(
    "changed",
    [
        {"n_step": 3},
        {"critic_atoms": 51, "value_low": -5.0, "value_high": 1.0},
        {"actor_every": 2, "update_every": 2, "updates_per_step": 8},
        {"maximum_gradient": 1.0},
    ],
    ids=["n_step", "distributional", "delayed", "clipped"],
)
def test_it_learns_to_steer_in_other_forms_too(changed):
    *_, last = sac_train.train(steer(8), dataclasses.replace(SMALL, **changed), total_steps=6_000, seed=0)
    assert returns_of(last) > -0.45


def test_it_learns_where_episodes_restart_in_the_next_step():
    *_, last = sac_train.train(steer(8, AutoresetMode.NEXT_STEP), SMALL, total_steps=6_600, seed=0)
    assert returns_of(last) > -0.35
    assert last.episodes.summary()["episode_length"] == 10


def test_it_learns_on_the_device_in_one_compiled_step():
    *_, last = sac_train.train(DeviceSteer(8), SMALL, total_steps=6_000, seed=0)
    assert returns_of(last) > -0.35
    assert last.episodes.summary()["episode_length"] == 10
    assert last.updates == (6_000 - 200 + 8) // 8 * 4


def test_the_mirror_image_of_what_was_seen_is_learnt_too():
    sac = Sac(1, 1, SMALL, Mirror())
    one_sided = {"observation": np.ones((4, 64, 1)), "action": np.full((4, 64, 1), -0.5), "reward": np.ones((4, 64))}
    one_sided |= {"discount": np.zeros((4, 64)), "next_observation": np.ones((4, 64, 1))}
    state = sac.init(0)
    for _ in range(300):
        state, _ = sac.update(state, batch(sac, **one_sided))

    def value(x):
        seen, done = jnp.full((1, 1), x), jnp.full((1, 1), -0.5 * x)
        return float(sac.critics.apply(state.critic, seen, done).mean())

    assert value(1.0) == pytest.approx(1.0, abs=0.05)
    assert value(-1.0) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("what", ["observation", "action"])
def test_a_mirror_image_of_another_shape_is_refused(what):
    symmetry = Mirror()
    setattr(symmetry, what, lambda value, numpy: value[..., :0])
    with pytest.raises(UsageError, match=rf"symmetry\.{what} makes .* \(2, 0\) of one of shape \(2, 1\)"):
        next(sac_train.train(steer(8), SMALL, total_steps=8, seed=0, symmetry=symmetry))


def test_what_is_logged_of_an_update_leaves_out_steps_that_were_no_transitions():
    sac = Sac(1, 1, dataclasses.replace(SMALL, batch_size=8))
    given = batch(sac, k=1)
    weight = given.weight.at[:, 4:].set(0.0)

    def told_of(x):
        state = sac.init(0)
        state = state._replace(actor=jax.tree.map(lambda leaf: 20.0 * leaf, state.actor))  # far away it saturates
        observation = given.observation.at[:, 4:].set(x)
        return sac.update(state, given._replace(weight=weight, observation=observation))[1]

    told = told_of(0.0), told_of(100.0)
    for name in ("q_mean", "action_saturation", "entropy", "actor_loss", "critic_loss"):
        assert float(told[0][name]) == pytest.approx(float(told[1][name]), rel=1e-5), name


def test_the_update_is_compiled_once():
    sac = Sac(1, 1, dataclasses.replace(SMALL, batch_size=8))
    state, before = sac.init(0), Sac.update._cache_size()
    for _ in range(3):
        state, _ = sac.update(state, batch(sac))
    assert Sac.update._cache_size() == before + 1


def test_gamma_may_be_told_in_seconds():
    assert SacConfig(horizon_seconds=2.0).for_step(0.02).gamma == pytest.approx(0.99)
    assert SacConfig(gamma=0.9).for_step(0.02).gamma == 0.9
    with pytest.raises(UsageError, match=r"horizon_seconds is 0.01"):
        SacConfig(horizon_seconds=0.01).for_step(0.02)


def moved(anchor, weight=0.0):
    """How far an actor's actions move in some updates: the mean square, as the last update tells it."""
    sac = Sac(1, 1, dataclasses.replace(SMALL, anchor=anchor))
    state = sac.init(0)
    first = np.asarray(sac.act(state, observed := np.linspace(-1.0, 1.0, 9)[:, None]))
    for seed in range(10):
        state, metrics = sac.update(state, batch(sac, k=8, b=32, seed=seed), weight)
    return float(np.square(sac.act(state, observed) - first).mean()), metrics


def test_an_anchor_holds_the_actor_where_it_began():
    free, plain = moved(anchor=0.0)
    loose, _ = moved(anchor=1.0, weight=0.0)
    held, metrics = moved(anchor=1.0, weight=100.0)
    assert loose == free > 0.01
    assert held < free / 20
    assert 0.0 < metrics["anchor_distance"] < free
    assert "anchor_distance" not in plain
    assert Sac(1, 1, SMALL).init(0).anchor == ()


def test_the_anchor_sees_as_the_actor_saw_when_it_was_set():
    sac = Sac(1, 1, dataclasses.replace(SMALL, anchor=1.0))
    _, same = sac.update(sac.init(0), batch(sac, k=1), 1.0)
    wider = norm.update(sac.init(0).normaliser, np.random.default_rng(0).normal(3.0, 9.0, (100, 1)))
    _, other = sac.update(sac.init(0)._replace(normaliser=wider), batch(sac, k=1), 1.0)
    assert same["anchor_distance"] == 0.0
    assert other["anchor_distance"] > 0.0


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
        "discount": np.full((4, 64), 0.0 if terminated else SMALL.gamma),
    }
    for _ in range(500):
        state, metrics = sac.update(state, batch(sac, **one))
    return float(metrics["q_mean"])


def test_a_true_end_does_not_bootstrap_and_a_time_out_does():
    assert critic_targets(terminated=True) == pytest.approx(1.0, abs=0.05)
    assert critic_targets(terminated=False) > 1.5


def test_a_loss_that_is_not_finite_stops_with_its_step():
    with pytest.raises(FloatingPointError, match="policy transition"):
        for _ in sac_train.train(
            steer(8), SacConfig(**{**vars(SMALL), "reward_scale": 1e38}), total_steps=1_000, seed=0
        ):
            pass


def test_the_last_update_is_looked_at_too():
    config = SacConfig(**{**vars(SMALL), "critic_lr": 1e38, "warmup_steps": 1_000, "updates_per_step": 4})
    with pytest.raises(FloatingPointError, match="policy transition 1000"):
        for _ in sac_train.train(steer(8), config, total_steps=1_000, seed=0):
            pass


def test_a_horizon_in_seconds_needs_the_duration_of_a_step():
    with pytest.raises(UsageError, match="for_step"):
        next(sac_train.train(steer(8), SacConfig(horizon_seconds=1.0), total_steps=8, seed=0))


@pytest.mark.parametrize(
    "wrong", [{"total_steps": -5}, {"seed": 1.5}, {"devices": -1}, {"felt": (True, True)}], ids=str
)
def test_arguments_that_no_training_can_use_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        next(sac_train.train(steer(2), SMALL, **{"total_steps": 8, "seed": 0, **wrong}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor_hidden": (0,)},
        {"critic_hidden": (16, -3)},
        {"initial_sigma": 0.0},
        {"initial_sigma": 100.0},
        {"actor_lr": float("inf")},
        {"target_entropy_per_action": float("nan")},
        {"value_low": float("nan")},
        {"tau": 0.0},
        {"initial_alpha": 0.0},
        {"reward_scale": 0.0},
        {"maximum_gradient": -1.0},
        {"horizon_seconds": float("nan")},
        {"gamma": 1.0},
        {"batch_size": 2.5},
        {"n_step": 1.5},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_learn_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SacConfig(**wrong)
