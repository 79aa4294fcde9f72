"""A scenario replays bit for bit, and is the same for two policies whatever they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.soccer.control import stand_still
from touchline.soccer.noise import OBSERVATION_NOISE
from touchline.soccer.observation import FIELDS
from touchline.soccer.official import OfficialEnv
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.scenario import Scenario, scenarios
from touchline.soccer.tasks import TASKS

TASK = "goalie_penalty_kick"
PUSHED = Perturbation(pushes=50, push_force=100.0, push_physics_steps=20, observation_noise=1.0)


@pytest.fixture(scope="module")
def env() -> Iterator[OfficialEnv]:
    environment = OfficialEnv(TASK, stand_still())
    yield environment
    environment.close()


def play(env: OfficialEnv, scenario: Scenario, amplitude: float = 0.0, steps: int = 40) -> list[NDArray[Any]]:
    """Observations of the first policy steps under random actions."""
    random = np.random.default_rng(0)
    seen = [env.reset(options={"scenario": scenario})[0]]
    return seen + [env.step(random.uniform(-amplitude, amplitude, 12))[0] for _ in range(steps)]


def forces(env: OfficialEnv, scenario: Scenario, amplitude: float) -> list[NDArray[Any]]:
    """The trunk's external force in every policy step."""
    trunk, found = env.model.body("robot_0:Trunk").id, []
    env.reset(options={"scenario": scenario})
    for _ in range(30):
        env.step(np.full(12, amplitude))
        found.append(env.data.xfrc_applied[trunk].copy())
    return found


def test_pushes_and_noise_replay_bit_for_bit_after_other_episodes(env: OfficialEnv) -> None:
    scenario = Scenario(TASK, 3, PUSHED)
    first = play(env, scenario, 0.3)
    play(env, Scenario(TASK, 4, PUSHED), 0.9)
    again = play(env, Scenario.from_dict(json.loads(json.dumps(scenario.to_dict()))), 0.3)
    assert np.array_equal(first, again)


def test_an_episode_with_pushes_and_noise_goes_on_from_a_saved_state(env: OfficialEnv) -> None:
    play(env, Scenario(TASK, 3, PUSHED), 0.3)
    state = env.state_dict()
    expected = [env.step(np.zeros(12))[0] for _ in range(20)]
    play(env, Scenario(TASK, 4, PUSHED))
    env.load_state_dict(state)
    assert np.array_equal([env.step(np.zeros(12))[0] for _ in range(20)], expected)


def test_two_policies_are_pushed_alike(env: OfficialEnv) -> None:
    scenario = Scenario(TASK, 5, PUSHED)
    still, moving = forces(env, scenario, 0.0), forces(env, scenario, 0.1)
    assert np.array_equal(still, moving)
    assert len({tuple(force[:2]) for force in still}) > 3
    assert not any(force[2:].any() for force in still)


def test_a_push_moves_the_robot_only_from_its_physics_step_on(env: OfficialEnv) -> None:
    push = PUSHED.pushes_of(1)[0]
    policy_steps = push.physics_step // 10 + 3
    quiet = Perturbation(0.0, 0.0, 0.0, 0.0, pushes=50, push_force=100.0, push_physics_steps=20)
    pushed = np.array(play(env, Scenario(TASK, 1, quiet), steps=policy_steps))
    official = np.array(play(env, Scenario(TASK, 1), steps=policy_steps))
    parted = np.flatnonzero((pushed != official).any(axis=1))
    assert parted[0] == push.physics_step // 10 + 1


def test_the_noise_of_an_observation_depends_on_its_number_alone(env: OfficialEnv) -> None:
    noisy = Perturbation(0.0, 0.0, 0.0, 0.0, observation_noise=1.0)
    still = np.array(play(env, Scenario(TASK, 2, noisy))) - np.array(play(env, Scenario(TASK, 2)))
    moving = np.array(play(env, Scenario(TASK, 2, noisy), 0.3)) - np.array(play(env, Scenario(TASK, 2), 0.3))
    np.testing.assert_allclose(still, moving, atol=1e-5)
    assert still[:, :12].std() == pytest.approx(0.01, rel=0.2)
    assert still[:, 12:24].std() == pytest.approx(0.5, rel=0.2)
    assert not still[:, 86:].any()


def test_every_observed_field_has_a_declared_noise() -> None:
    assert list(OBSERVATION_NOISE) == [field.name for field in FIELDS]


def test_pushes_come_one_in_each_part_of_the_episode() -> None:
    pushes = PUSHED.pushes_of(7)
    assert [push.physics_step // 100 for push in pushes] == list(range(50))
    assert all(push.physics_step % 100 <= 80 for push in pushes)
    assert pushes != PUSHED.pushes_of(8)


def test_pushes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="101 pushes of 50 physics steps do not fit"):
        Perturbation(pushes=101)


def test_equal_scenarios_have_one_hash_and_one_digest_and_others_another() -> None:
    one, same = Scenario(TASK, 1, Perturbation(joint_position=0)), Scenario(TASK, 1, Perturbation(joint_position=0.0))
    assert (hash(one), one.digest) == (hash(same), same.digest)
    every = scenarios(range(20), PUSHED) + scenarios(range(20), NONE)
    assert len({scenario.digest for scenario in every}) == len(set(every)) == 40 * len(TASKS)


def test_the_digest_is_the_same_on_every_machine() -> None:
    assert Scenario("kick_to_target", 12).digest == "6a49ae03bd94fcfe294556023b175a49900d73ef85199b28bb1240a3d6075c63"


def test_a_scenario_is_played_once_and_the_next_reset_is_as_before(env: OfficialEnv) -> None:
    before = env.reset(seed=0)[0]
    env.reset(options={"scenario": Scenario(TASK, 3, PUSHED)})
    np.testing.assert_array_equal(env.reset(seed=0)[0], before)
    assert not env._forces


def test_an_episode_of_a_scenario_goes_on_from_its_saved_state(env: OfficialEnv) -> None:
    scenario = Scenario(TASK, 3, Perturbation(observation_noise=1.0))
    env.reset(options={"scenario": scenario})
    env.step(np.zeros(12))
    state = env.state_dict()
    expected = env.step(np.zeros(12))[0]
    env.reset(seed=9)
    env.load_state_dict(state)
    np.testing.assert_array_equal(env.step(np.zeros(12))[0], expected)
    assert env.perturbation == NONE


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_a_seed_that_is_no_whole_number_is_refused(seed: object) -> None:
    with pytest.raises(UsageError, match=r"Scenario\.seed"):
        Scenario(TASK, seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [{"push_force": float("nan")}, {"pushes": 1.5}, {"joint_position": -0.1}])
def test_sizes_that_make_no_sense_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(sizes))):
        Perturbation(**sizes)  # type: ignore[arg-type]


def test_a_scenario_of_another_or_an_unknown_task_is_refused(env: OfficialEnv) -> None:
    with pytest.raises(UsageError, match="kick_to_target cannot be played in an environment of goalie"):
        env.reset(options={"scenario": Scenario("kick_to_target", 1)})
    with pytest.raises(UsageError, match="goalie_penalty_kick"):
        Scenario("goalie_penalty", 1)
