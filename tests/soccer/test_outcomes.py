"""What the training scene says an episode came to, with a ball that rolls, and the official touches beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from touchline.simulation.native import NativeWorld
from touchline.simulation.world import Start
from touchline.soccer.control import stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.perturbation import NONE
from touchline.soccer.scenario import Scenario
from touchline.soccer.tasks import FIELD_LENGTH, TASKS
from touchline.soccer.world import SoccerWorld

STEPS = 50
WORLD = SoccerWorld(controller=stand_still(), episode_steps=STEPS, joint_noise=0.0, velocity_noise=0.0)


def played(tasks: list[int], change: Callable[[Any, Any, Any], None]) -> dict[str, np.ndarray]:
    """The outcomes of standing still after ``change`` was made to a batch's start (qpos, qvel, episode)."""
    n = len(tasks)
    start = WORLD.start(np.full((n, WORLD.uniforms), 0.3), np.array(tasks), np)
    qpos, qvel = np.array(start.qpos), np.array(start.qvel)
    change(qpos, qvel, start.episode)
    envs = NativeWorld(WORLD, n)
    envs.reset(seed=0, options={"tasks": tasks, "start": Start(qpos, qvel, start.episode)})
    info: dict[str, Any] = {}
    while "final_info" not in info:
        *_, info = envs.step(np.zeros((n, 12), np.float32))
    envs.close()
    assert info["final_info"]["task"].tolist() == [TASKS[task] for task in tasks]
    return info["final_info"]["outcomes"]


def test_who_stands_still_neither_touches_the_ball_nor_falls_nor_goes_anywhere() -> None:
    found = played([0, 1, 2], lambda qpos, qvel, episode: None)
    assert not found["touch"].any() and not found["fall"].any() and not found["goal"].any()
    assert (found["distance"] < 0.1).all()


def test_a_ball_that_ever_rolled_was_touched_and_where_the_task_wants_it_is_a_goal() -> None:
    ball, speed = WORLD.index.ball_position, WORLD.index.ball_velocity

    def shoot(qpos: Any, qvel: Any, episode: Any) -> None:
        aims = np.stack([[-FIELD_LENGTH - 0.1, 0.5, 0.2], *episode.target[1:]])
        for row, aim in enumerate(aims):
            away = np.array([1.0, 0.0])
            qpos[row, ball][:2] = aim[:2] + away
            qpos[row, ball][2] = aim[2] if aim[2] > 0.1 else 0.0
            qvel[row, speed][:2] = -6.0 * away

    found = played([0, 1, 2], shoot)
    assert found["touch"].all() and found["goal"].all()

    def beside(qpos: Any, qvel: Any, episode: Any) -> None:
        shoot(qpos, qvel, episode)
        qpos[:, ball.start + 1] += 3.0

    found = played([0, 1, 2], beside)
    assert found["touch"].all() and not found["goal"].any()


def test_distance_is_how_far_the_robot_ends_from_its_start() -> None:
    def push(qpos: Any, qvel: Any, episode: Any) -> None:
        qvel[:, 1] = 3.0

    pushed = played([2], push)
    assert pushed["fall"][0] and 0.3 < pushed["distance"][0] < 3.0


@pytest.mark.parametrize("task", TASKS)
def test_official_touches_are_the_contacts_that_began_and_the_score_is_its_terms(task: str) -> None:
    env = OfficialEnv(task, replace(stand_still(), decimation=1))
    env.reset(options={"scenario": Scenario(task, 3, NONE)})
    trunk = env.data.body("robot_0:Trunk").xpos
    ball = env.model.joint("env:ball")
    position, velocity = ball.qposadr[0], ball.dofadr[0]
    geom = env.model.geom("ball").id
    robot = {
        i for i in range(env.model.ngeom) if env.model.body(env.model.geom_bodyid[i]).name.startswith("robot_0:")
    }
    began, touching, over, info = 0, False, False, {}
    while not over:
        if env.physics_steps == 1_800:
            env.data.qpos[position] = 2 * FIELD_LENGTH  # which ends the episode
        if env.physics_steps % 600 == 0 and env.physics_steps < 1_800:  # three balls at its feet
            env.data.qpos[position : position + 3] = trunk[0] - 0.5, trunk[1] + 0.05, 0.0
            env.data.qvel[velocity : velocity + 3] = 2.0, 0.0, 0.0
        *_, terminated, truncated, info = env.step(np.zeros(12))
        over = terminated or truncated
        pairs = [set(pair) for pair in env.data.contact.geom.tolist()]
        now = any(geom in pair and pair & robot for pair in pairs)
        began, touching = began + (now and not touching), now
    assert info["outcomes"]["touches"] == began > 0
    assert info["outcomes"]["touch"] is True
    assert sum(info["score_terms"].values()) == info["score"]
    assert info["task"] == task


def test_only_the_tasks_that_say_so_start_alike_for_every_seed() -> None:
    for task in TASKS:
        env = OfficialEnv(task, stand_still())
        first, other = (env.reset(options={"scenario": Scenario(task, seed, NONE)})[0] for seed in (1, 2))
        assert np.array_equal(first, other) == (task in WORLD.starts_alike)
