"""SAC that begins from a teacher acts as the teacher did before its first own transition."""

import dataclasses
import math

import jax
import numpy as np
import pytest
from numpy.testing import assert_equal

from tests.learning.test_sac import SMALL, batch, returns_of
from tests.learning.toy import steer
from touchline.errors import UsageError
from touchline.learning import demonstrations, sac_train
from touchline.learning.demonstration_config import DemonstrationConfig
from touchline.learning.sac import Sac, to_policy

CONFIG = DemonstrationConfig(transitions=800, noise=(0.0, 0.3), clone_updates=600, clone_batch=64, critic_updates=160)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": ()},
        {"noise": (-0.1,)},
        {"noise": (0.1, math.nan)},
        {"noise": (math.inf,)},
        {"transitions": 1.5},
        {"clone_updates": -1},
        {"clone_batch": 1.5},
        {"clone_lr": math.inf},
        {"critic_updates": 2.5},
    ],
    ids=str,
)
def test_what_no_teacher_can_teach_with_is_refused(wrong):
    with pytest.raises(UsageError, match=f"DemonstrationConfig.{next(iter(wrong))} is .* Give "):
        DemonstrationConfig(**wrong)


def steers_well(observation, age):
    return np.clip(-2.0 * observation, -1.0, 1.0)


def steps_back_at_the_start(observation, age):
    return np.where(age[:, None] == 0, -0.5, 0.5) + 0.0 * observation


@pytest.fixture(scope="module")
def begun():
    loops = []

    def restore(loop):
        loops.append(demonstrations.begin(loop, Sac(1, 1, SMALL), CONFIG, steers_well, seed=0))
        return loops[0]

    return next(sac_train.train(steer(8), SMALL, total_steps=8, seed=0, restore=restore))


def test_the_cloned_actor_does_as_well_as_the_teacher(begun):
    assert returns_of(begun) > -0.4  # untrained it reaches less than -1


def test_training_goes_on_from_there(begun):
    assert begun.step == 8
    assert np.isfinite(np.asarray(begun.state.log_alpha))


def test_the_teacher_knows_the_age_of_an_episode_and_is_disturbed_in_some():
    shown = demonstrations.collect(steer(8), steps_back_at_the_start, CONFIG, seed=0)
    assert shown.taught.shape == (100, 8, 1)
    assert (shown.taught[::10] == -0.5).all() and (np.delete(shown.taught, slice(0, 100, 10), axis=0) == 0.5).all()
    apart = np.abs(shown.transitions.action - shown.taught).max(axis=(0, 2))
    assert (apart[::2] == 0.0).all() and (apart[1::2] > 0.1).all()


def test_what_was_shown_is_what_the_environments_did():
    shown = demonstrations.collect(steer(4), steers_well, CONFIG, seed=0)
    observation, action, _, following, *_ = shown.transitions
    assert np.clip(observation + 0.5 * action, -2, 2) == pytest.approx(following, abs=1e-6)


def test_an_actor_never_looks_at_what_it_is_not_to_feel():
    blind = (False,)

    def restore(loop):
        return demonstrations.begin(loop, Sac(1, 1, SMALL, felt=blind), CONFIG, steers_well, seed=0)

    *_, last = sac_train.train(steer(8), SMALL, total_steps=400, seed=0, felt=blind, restore=restore)
    policy = to_policy(last.state)
    assert policy(np.array([[-1.0]])) == policy(np.array([[1.0]]))


def test_an_anchored_training_is_held_by_the_clone_ever_less():
    config = dataclasses.replace(SMALL, warmup_steps=8, anchor=4.0, anchor_half_life=8)

    def restore(loop):
        begun = demonstrations.begin(loop, Sac(1, 1, config), CONFIG, steers_well, seed=0)
        assert_equal(jax.device_get(begun.learner.anchor.actor), jax.device_get(begun.learner.actor))
        assert begun.learner.anchor.normaliser.count == 800
        return begun

    training = sac_train.train(steer(8), config, total_steps=24, seed=0, restore=restore)
    assert [progress.metrics["anchor_weight"] for progress in training] == [4.0, 2.0, 1.0]
    assert dataclasses.replace(config, anchor_half_life=0).anchor_at(24) == 4.0


def test_the_value_of_a_clone_is_learned_by_the_critics_alone():
    sac = Sac(1, 1, SMALL)
    before, after = sac.init(0), sac.update_critics(sac.init(0), batch(sac))
    kept = ("actor", "actor_optimiser", "log_alpha", "alpha_optimiser")
    for name in kept:
        assert_equal(jax.device_get(getattr(after, name)), jax.device_get(getattr(before, name)))
    changed = jax.tree.map(lambda one, other: bool((one != other).any()), before.critic, after.critic)
    assert all(jax.tree.leaves(changed))
    assert after.updates == 2
