"""The lean official environment says, to the last bit, what the official one says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.errors import TouchlineError, UsageError
from touchline.jobs.worlds import official_soccer
from touchline.learning.vector import ParallelVectorEnv
from touchline.soccer.control import JOINTS, TORQUE_RANGE, Controller, soft_ankles, stand_still
from touchline.soccer.observation import FIELDS, LAYOUT, projected_gravity
from touchline.soccer.official import OfficialEnv
from touchline.soccer.official_model import make_official
from touchline.soccer.perturbation import NONE, Perturbation
from touchline.soccer.score import official_score
from touchline.soccer.tasks import TASKS

POLICIES: dict[str, tuple[Callable[[], Controller], float]] = {
    "random": (soft_ankles, 1.0),
    "controlled": (stand_still, 0.15),
}
"""Controller and the amplitude of the random actions."""


def competition_observation(observation: NDArray[Any], info: dict[str, Any]) -> NDArray[np.float32]:
    """The first 86 values, made from what the official ``step`` returns."""
    gravity = projected_gravity(info["robot_quat"][[3, 0, 1, 2]])
    parts = [observation[:24], gravity, *(info[field.official] for field in FIELDS[3:-1])]
    return np.concatenate(parts).astype(np.float32)


def torque_share(
    controller: Controller, action: NDArray[Any], position: NDArray[Any], velocity: NDArray[Any]
) -> NDArray[np.float32]:
    """What a deployed policy returns, each operation rounded to float32."""
    part = {name: np.asarray(value, np.float32) for name, value in vars(controller).items()}
    goal = part["pose"] + part["action_scale"] * np.clip(action.astype(np.float32), -1, 1)
    goal = np.clip(goal, part["joint_lower"], part["joint_upper"])
    torque = part["stiffness"] * (goal - position.astype(np.float32)) - part["damping"] * velocity.astype(np.float32)
    return np.clip(torque, -part["torque_limit"], part["torque_limit"]) / np.asarray(TORQUE_RANGE, np.float32)


class Official:
    """The real environment, driven one ``env.step`` a physics step."""

    def __init__(self, task: str, controller: Controller) -> None:
        self.env, self.controller = make_official(task), controller
        self.model, self.data = self.env.sim.model._model, self.env.sim.data._data
        joints = [self.model.joint(f"robot_0:{name}") for name in JOINTS]
        self.position = [joint.qposadr[0] for joint in joints]
        self.velocity = [joint.dofadr[0] for joint in joints]
        self.physics_steps = 0

    def begin(self, seed: int, controller: Controller) -> None:
        self.controller = controller
        self.observation = competition_observation(*self.env.reset(seed=seed))

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, dict[str, Any]]:
        reward = 0.0
        for _ in range(self.controller.decimation):
            self.physics_steps += 1
            share = torque_share(
                self.controller, action, self.data.qpos[self.position], self.data.qvel[self.velocity]
            )
            space = self.env.action_space
            torque = space.low + (space.high - space.low) * ((share + 1) / 2)
            observation, paid, terminated, _, info = self.env.step(torque)
            reward += float(paid)
            if terminated:
                break
        return competition_observation(observation, info), reward, terminated, info


@pytest.fixture(scope="module")
def batch() -> Iterator[ParallelVectorEnv]:
    envs = official_soccer(TASKS, stand_still(), processes=2)
    assert isinstance(envs, ParallelVectorEnv)
    yield envs
    envs.close()


@pytest.fixture(scope="module")
def officials() -> list[Official]:
    return [Official(task, stand_still()) for task in TASKS]


def same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    observation, reward, terminated, _, info = ours
    official_observation, official_reward, official_terminated, official_info = theirs
    np.testing.assert_array_equal(observation[:86], official_observation)
    assert reward == official_reward
    assert terminated == official_terminated
    terms = {name: float(value) for name, value in official_info["reward_terms"].items()}
    assert info["reward_terms"] == terms


@pytest.mark.parametrize("policy", POLICIES)
def test_every_bit_of_a_batch_equals_repeated_official_steps(
    batch: ParallelVectorEnv, officials: list[Official], policy: str
) -> None:
    make_controller, amplitude = POLICIES[policy]
    random = np.random.default_rng(7)
    observations, _ = batch.reset(seed=101, options={"controller": make_controller()})
    for i, official in enumerate(officials):
        official.begin(101 + i, make_controller())
        np.testing.assert_array_equal(observations[i, :86], official.observation)
    ended = 0
    while any(official.physics_steps < 700 for official in officials):
        actions = random.uniform(-amplitude, amplitude, (len(TASKS), 12)).astype(np.float32)
        observations, rewards, terminated, _, infos = batch.step(actions)
        for i, official in enumerate(officials):
            last = infos["final_info"] if terminated[i] else infos
            seen = infos["final_obs"][i] if terminated[i] else observations[i]
            terms = {
                name: x[i]
                for name, x in last["reward_terms"].items()
                if last["reward_terms"].get(f"_{name}", [0] * 3)[i]
            }
            same((seen, rewards[i], terminated[i], False, {"reward_terms": terms}), official.step(actions[i]))
            if terminated[i]:
                ended += 1
                official.begin(batch.state_dict()["environments"][i]["seed"], make_controller())
                np.testing.assert_array_equal(observations[i, :86], official.observation)
    assert ended == 0 if policy == "controlled" else ended > 1


@pytest.mark.parametrize("task", TASKS)
def test_every_bit_of_one_environment_equals_repeated_official_steps(officials: list[Official], task: str) -> None:
    """Under the largest actions, which throw the robot and the ball about."""
    ours, theirs = OfficialEnv(task, stand_still()), officials[TASKS.index(task)]
    random = np.random.default_rng(7)
    ours.reset(seed=5)
    theirs.begin(5, stand_still())
    terminated = False
    while not terminated:
        action = random.choice([-1.0, 1.0], 12)
        mine = ours.step(action)
        same(mine, theirs.step(action))
        terminated = mine[2]


def place_ball(
    env: OfficialEnv | Official, position: tuple[float, float, float], velocity: tuple[float, float, float]
) -> None:
    model, data = env.model, env.data
    ball = model.joint("env:ball")
    data.qpos[ball.qposadr[0] : ball.qposadr[0] + 3] = position
    data.qvel[ball.dofadr[0] : ball.dofadr[0] + 3] = velocity
    mujoco.mj_forward(model, data)


@pytest.mark.parametrize(
    ("task", "position", "velocity", "term"),
    [
        ("goalie_penalty_kick", (-10.5, 1.35, 0.3), (-6.0, 0.0, 0.0), "goal_scored"),
        ("goalie_penalty_kick", (-10.0, 0.0, 0.3), (-8.0, 0.0, 0.0), "ball_blocked"),
        ("goalie_penalty_kick", (-10.0, 5.0, 0.3), (-9.0, 0.0, 0.0), "offside"),
        ("goalie_penalty_kick", (0.0, 0.0, 0.0), (5.0, 0.0, 0.0), "ball_hits"),
        ("obstacle_penalty_kick", (-10.0, 5.0, 0.3), (-9.0, 0.0, 0.0), "offside"),
        ("kick_to_target", (9.0, 6.0, 0.3), (0.0, 9.0, 0.0), "offside"),
    ],
)
def test_a_flying_ball_is_judged_like_the_official_one(task: str, position: Any, velocity: Any, term: str) -> None:
    ours, theirs = OfficialEnv(task, stand_still()), Official(task, stand_still())
    ours.reset(seed=3)
    theirs.env.reset(seed=3)
    if term == "ball_hits":  # toward wherever the robot stands, twice
        root = ours.data.body("robot_0:Trunk").xpos
        position = (root[0] - 0.5, root[1] + 0.05, 0.0)
    for env in (ours, theirs):
        place_ball(env, position, velocity)
    seen, ended = 0.0, False
    for step in range(60):
        mine = ours.step(np.zeros(12))
        same(mine, theirs.step(np.zeros(12)))
        seen, ended = max(seen, mine[4]["reward_terms"][term]), mine[2]
        if ended:
            break
        if term == "ball_hits" and step % 20 == 19:
            for env in (ours, theirs):
                place_ball(env, position, velocity)
    assert seen > 0.0
    assert ended == (term != "ball_hits")


@pytest.mark.parametrize("term", ["goal_scored", "ball_blocked"])
def test_a_shot_at_the_wall_is_judged_like_the_official_one(term: str) -> None:
    task = "obstacle_penalty_kick"
    ours, theirs = OfficialEnv(task, stand_still()), Official(task, stand_still())
    ours.reset(seed=3)
    theirs.env.reset(seed=3)
    gap, defender = ours.data.site("goalarea_site").xpos, ours.data.geom("defender_geom0").xpos
    x, y, z = gap if term == "goal_scored" else defender
    for env in (ours, theirs):
        place_ball(env, (x + 1.0, y, z), (-9.0, 0.0, 0.0))
    terminated = False
    while not terminated:
        mine = ours.step(np.zeros(12))
        same(mine, theirs.step(np.zeros(12)))
        terminated = mine[2]
    assert mine[4]["reward_terms"][term] == 1.0
    assert mine[4]["success"] == (term == "goal_scored")


def test_what_cannot_be_stepped_is_refused() -> None:
    env = OfficialEnv("kick_to_target", stand_still())
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(12))
    env.reset(seed=0)
    for action, said in ((np.zeros(11), r"shape \(11,\)"), (np.full(12, np.nan), "not finite")):
        with pytest.raises(UsageError, match=said):
            env.step(action)
    with pytest.raises(UsageError, match="scenario"):
        env.reset(options={"scenarioo": None})
    with pytest.raises(UsageError, match="controller_named"):
        OfficialEnv("kick_to_target", "stand_still")  # type: ignore[arg-type]


def test_the_one_hot_names_the_task() -> None:
    for index, task in enumerate(TASKS):
        observation, _ = OfficialEnv(task, stand_still()).reset(seed=0)
        assert observation.dtype == np.float32
        assert observation[LAYOUT["task_index"]].tolist() == np.eye(3)[index].tolist()


def test_the_end_of_an_episode_carries_score_and_length() -> None:
    env = OfficialEnv("goalie_penalty_kick", soft_ankles())
    env.reset(seed=0)
    terminated = False
    while not terminated:
        _, _, terminated, truncated, info = env.step(np.zeros(12))
    assert not truncated
    assert info["score"] == official_score(env.task, info["reward_terms"])
    assert 300 < info["physics_steps"] < 1_000  # it stops inside the decimation, where the robot fell
    assert info["success"] is False


def test_the_time_limit_truncates_in_the_middle_of_a_policy_step_too() -> None:
    env = OfficialEnv("kick_to_target", stand_still())
    env.reset(seed=0)
    env.physics_steps = 4_996
    _, _, terminated, truncated, info = env.step(np.zeros(12))
    assert truncated
    assert not terminated
    assert info["physics_steps"] == 5_000
    assert "score" in info


def test_perturbed_resets_differ_by_seed_and_repeat() -> None:
    env = OfficialEnv("goalie_penalty_kick", stand_still(), perturbation=Perturbation())
    first, second, again = env.reset(seed=1)[0], env.reset(seed=2)[0], env.reset(seed=1)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="goalie_penalty_kick"):
        OfficialEnv("goalie_penalty", stand_still())


def test_an_environment_that_cannot_be_made_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("invalid body /soccer_ball")

    monkeypatch.setattr("gymnasium.make", broken)
    with pytest.raises(TouchlineError, match="mujoco 3.3"):
        make_official("kick_to_target")


@pytest.mark.parametrize(
    ("task", "expected"),
    [("goalie_penalty_kick", -0.993), ("obstacle_penalty_kick", -0.993), ("kick_to_target", -0.260)],
)
def test_standing_still_lasts_the_episode_and_scores_what_the_facts_say(task: str, expected: float) -> None:
    env = OfficialEnv(task, stand_still())
    scores = []
    for seed in range(3 if task == "kick_to_target" else 1):
        env.reset(seed=seed)
        truncated = terminated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(np.zeros(12))
        assert truncated
        assert not terminated
        scores.append(info["score"])
    assert np.mean(scores) == pytest.approx(expected, abs=0.02)


def test_one_environment_serves_every_controller_and_perturbation() -> None:
    def play(env: OfficialEnv, **options: Any) -> list[NDArray[np.float32]]:
        seen = [env.reset(seed=5, options=options)[0]]
        return seen + [env.step(np.full(12, 0.3))[0] for _ in range(40)]

    kept = OfficialEnv("kick_to_target", stand_still())
    play(kept)
    fresh = OfficialEnv("kick_to_target", soft_ankles(), perturbation=Perturbation())
    changed = play(kept, controller=soft_ankles(), perturbation=Perturbation())
    assert all(np.array_equal(a, b) for a, b in zip(changed, play(fresh), strict=True))
    again = play(kept, controller=stand_still(), perturbation=NONE)
    assert all(
        np.array_equal(a, b) for a, b in zip(again, play(OfficialEnv("kick_to_target", stand_still())), strict=True)
    )
