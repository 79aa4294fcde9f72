"""Gymnasium's wrappers: episodes and films in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TransformReward
from gymnasium.wrappers.vector import RecordEpisodeStatistics as VectorRecordEpisodeStatistics
from stable_baselines3.common.monitor import Monitor

import touchline
from touchline.errors import UsageError
from touchline.integrations.gymnasium import RecordEpisodes, RecordVideo, VectorRecordEpisodes, VectorRecordVideo

from .conftest import Drawn, Example, drawn, events, films_or_tells, only_run, points


def test_the_example_records_the_mean_of_episodes_that_end_together_and_a_film(
    example: Example, journal_only: Path
) -> None:
    example("gymnasium_vector.py", "--steps", 1_000)
    directory = only_run(journal_only)
    assert {(step, value) for name, step, value in points(directory) if name == "train/episode_length"} == {
        (800, 200.0)
    }
    assert films_or_tells(directory)


def episodes(run_directory: Path) -> dict[str, dict[int, float]]:
    """What was recorded of episodes, by step."""
    found: dict[str, dict[int, float]] = {"train/episode_reward": {}, "train/episode_length": {}}
    for name, step, value in points(run_directory):
        found[name][step] = value
    return found


@pytest.mark.parametrize("statistics", [RecordEpisodeStatistics, Monitor])
def test_statistics_that_an_environment_has_already_are_the_ones_recorded(
    journal_only: Path, statistics: Any
) -> None:
    with touchline.start_run("single") as run:
        env = gymnasium.make("Pendulum-v1", max_episode_steps=5)
        env = RecordEpisodes(TransformReward(statistics(env), lambda _: 1.0), run)
        told = []
        for seed in range(2):
            env.reset(seed=seed)
            told += [env.step(env.action_space.sample())[4].get("episode") for _ in range(5)]
        env.close()
    assert [place for place, one in enumerate(told) if one] == [4, 9]
    assert episodes(run.directory) == {
        "train/episode_reward": {5: pytest.approx(told[4]["r"]), 10: pytest.approx(told[9]["r"])},
        "train/episode_length": {5: 5.0, 10: 5.0},
    }
    assert told[4]["r"] < 0, "the environment's own reward, and not what a wrapper makes of it"


def five_steps() -> Any:
    return RecordEpisodeStatistics(gymnasium.make("Pendulum-v1", max_episode_steps=5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorRecordEpisodeStatistics(gymnasium.make_vec("Pendulum-v1", 3, max_episode_steps=5)),
        lambda: SyncVectorEnv([five_steps] * 3),
        lambda: SyncVectorEnv([five_steps] * 3, autoreset_mode=AutoresetMode.SAME_STEP),
        lambda: AsyncVectorEnv([five_steps] * 3),
    ],
    ids=["around", "within", "within, reset in the same step", "in other processes"],
)
def test_so_are_those_of_a_vector_environment_or_of_its_environments(journal_only: Path, make: Any) -> None:
    with touchline.start_run("vector") as run:
        envs = VectorRecordEpisodes(make(), run)
        envs.reset(seed=0)
        rewards = np.array([envs.step(envs.action_space.sample())[1] for _ in range(5)])
        envs.close()
    assert episodes(run.directory) == {
        "train/episode_reward": {15: pytest.approx(rewards.sum(axis=0).mean(), rel=1e-5)},
        "train/episode_length": {15: 5.0},
    }


def test_statistics_of_ones_own_stay_where_scripts_look_for_them(journal_only: Path) -> None:
    with touchline.start_run("vector") as run:
        envs = VectorRecordEpisodes(gymnasium.make_vec("Pendulum-v1", 2, max_episode_steps=2), run)
        envs.reset(seed=0)
        envs.step(envs.action_space.sample())
        info = envs.step(envs.action_space.sample())[4]
        envs.close()
    assert set(info) == {"episode", "_episode"}
    assert info["episode"]["l"].tolist() == [2, 2]


def test_a_single_environment_is_counted_and_filmed_from_where_a_training_goes_on(journal_only: Path) -> None:
    with touchline.start_run("single") as run:
        env = drawn(max_episode_steps=5)
        env = RecordVideo(RecordEpisodes(env, run, start=100), run, every=10, minimum_seconds=0.0, start=100)
        for seed in range(4):
            env.reset(seed=seed)
            for _ in range(5):
                env.step(env.action_space.sample())
        env.close()
    assert {step for name, step, _ in points(run.directory) if name == "train/episode_length"} == {105, 110, 115, 120}
    assert [step for _, step, _ in events(run.directory, "video")] == [100, 110]


def test_environments_of_a_vector_are_tiles_of_one_film(journal_only: Path) -> None:
    with touchline.start_run("vector") as run:
        envs = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync", wrappers=[Drawn])
        envs.render_mode = "rgb_array"
        envs = VectorRecordVideo(envs, run, every=30, minimum_seconds=0.0, frames=2, tiles=2, name="film")
        envs.reset(seed=0)
        for step in range(15):
            envs.step(np.full(3, step % 2))  # pushed to and fro, no pole falls: every step is a transition
        envs.close()
    assert [(step, payload["name"]) for _, step, payload in events(run.directory, "video")] == [
        (0, "film"),
        (30, "film"),
    ]


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_step_that_resets_is_no_transition_of_a_policy(journal_only: Path, mode: AutoresetMode) -> None:
    def filmed() -> Any:
        return drawn(max_episode_steps=5)

    with touchline.start_run("vector") as run:
        envs: Any = SyncVectorEnv([filmed] * 2, autoreset_mode=mode)
        envs.render_mode = "rgb_array"
        envs = VectorRecordEpisodes(envs, run)
        envs = VectorRecordVideo(envs, run, every=10, minimum_seconds=0.0, frames=1)
        envs.reset(seed=0)
        for _ in range(17 if mode is AutoresetMode.NEXT_STEP else 15):
            envs.step(envs.action_space.sample())
        envs.close()
    assert {step for name, step, _ in points(run.directory) if name == "train/episode_length"} == {10, 20, 30}
    assert [step for _, step, _ in events(run.directory, "video")] == [0, 10, 20]


def test_an_environment_without_frames_is_refused(journal_only: Path) -> None:
    with touchline.start_run("r") as run, pytest.raises(UsageError, match='render_mode="rgb_array"'):
        RecordVideo(gymnasium.make("Pendulum-v1"), run)
