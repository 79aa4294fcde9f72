"""An official environment goes on in the middle of an episode to the same bits, in another object too."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.errors import UsageError
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.tasks import TASKS

PERTURBATIONS = {"official": NONE, "perturbed": Perturbation()}


def play(env: OfficialEnv, rng: np.random.Generator, steps: int) -> list[Any]:
    """What ``steps`` steps show to the last bit; an episode that ends is followed by the next."""
    seen: list[Any] = []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(rng.uniform(-0.8, 0.8, 12).astype(np.float32))
        seen.append([observation.tobytes(), reward, terminated, truncated, info, env.qpos.tobytes()])
        if terminated or truncated:
            seen.append(env.reset()[0].tobytes())
    return seen


def actions(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def used(task: str) -> OfficialEnv:
    """An environment that has played other episodes, under another controller, and stands in the middle of one."""
    env = OfficialEnv(task, stand_still())
    for seed in (71, 72):
        env.reset(seed=seed, options={"perturbation": Perturbation()})
        play(env, actions(seed), 70)
    return env


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@pytest.mark.parametrize("task", TASKS)
def test_a_seed_gives_the_same_episode_whatever_was_played_before(task: str, perturbation: str) -> None:
    options = {"controller": soft_ankles(), "perturbation": PERTURBATIONS[perturbation]}
    before, fresh = used(task), OfficialEnv(task, stand_still())
    starts = [env.reset(seed=5, options=options)[0].tobytes() for env in (before, fresh)]
    assert starts[0] == starts[1]
    assert play(before, actions(), 120) == play(fresh, actions(), 120)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@pytest.mark.parametrize("task", TASKS)
def test_it_goes_on_in_the_middle_of_an_episode_that_followed_another(task: str, perturbation: str) -> None:
    first = OfficialEnv(task, soft_ankles(), perturbation=PERTURBATIONS[perturbation])
    first.reset(seed=5)
    rng = actions()
    play(first, rng, 100)
    state, moves = first.state_dict(), rng.bit_generator.state
    expected = play(first, rng, 120)
    second = used(task)
    second.load_state_dict(state)
    rng.bit_generator.state = moves
    assert play(second, rng, 120) == expected


def test_the_time_limit_comes_where_it_would_have_come() -> None:
    first, second = (OfficialEnv("kick_to_target", stand_still()) for _ in range(2))
    first.reset(seed=0)
    for _ in range(498):
        first.step(np.zeros(12))
    second.load_state_dict(first.state_dict())
    assert not second.step(np.zeros(12))[3]
    assert second.step(np.zeros(12))[3]


def test_an_environment_that_was_never_reset_can_be_saved() -> None:
    first, second = (OfficialEnv("kick_to_target", stand_still()) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert second.reset()[0].tobytes() == first.reset()[0].tobytes()


def test_its_state_is_arrays_and_plain_values() -> None:
    env = OfficialEnv("kick_to_target", soft_ankles(), perturbation=Perturbation())
    env.reset(seed=0)
    env.step(np.zeros(12, np.float32))
    state = env.state_dict()
    assert state["actions"].shape == (1, 12)
    json.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})


def test_where_the_machine_rounds_otherwise_the_saved_physics_counts_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    env = OfficialEnv("goalie_penalty_kick", stand_still())
    env.reset(seed=0)
    for _ in range(3):
        env.step(np.zeros(12))
    saved: NDArray[np.float64] = env.qpos
    state = env.state_dict()
    state["actions"] = state["actions"] + 1e-9
    env.load_state_dict(state)
    assert np.array_equal(env.qpos, saved)
    assert "scenario 0 of goalie_penalty_kick" in caplog.text


def test_the_state_of_another_task_or_another_model_is_refused() -> None:
    env = OfficialEnv("kick_to_target", stand_still())
    env.reset(seed=0)
    state = env.state_dict()
    with pytest.raises(UsageError, match="goalie_penalty_kick and this environment of kick_to_target"):
        env.load_state_dict(state | {"task": "goalie_penalty_kick"})
    with pytest.raises(UsageError, match="another version of sai-mujoco"):
        env.load_state_dict(state | {"physics": state["physics"][:-1]})
