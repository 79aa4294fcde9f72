"""Gymnasium's wrappers: episodes and films in a run."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest

import touchline
from touchline.errors import UsageError
from touchline.integrations.gymnasium import RecordEpisodes, RecordVideo, VectorRecordVideo

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
        for _ in range(15):
            envs.step(envs.action_space.sample())
        envs.close()
    assert [(step, payload["name"]) for _, step, payload in events(run.directory, "video")] == [
        (0, "film"),
        (30, "film"),
    ]


def test_an_environment_without_frames_is_refused(journal_only: Path) -> None:
    with touchline.start_run("r") as run, pytest.raises(UsageError, match='render_mode="rgb_array"'):
        RecordVideo(gymnasium.make("Pendulum-v1"), run)
