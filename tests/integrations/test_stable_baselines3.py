"""Stable-Baselines3 and SBX: what a training records, and that it goes on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import gymnasium
import matplotlib.figure
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Figure, HParam, Image, Video
from stable_baselines3.common.vec_env import VecNormalize

import touchline
from touchline.errors import UsageError
from touchline.integrations.stable_baselines3 import TouchlineCallback
from touchline.integrations.training import Training

from .conftest import Drawn, Example, drawn, events, films_or_tells, names, only_run, points

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "seed": 0, "device": "cpu"}


def ppo(environment: Any = "Pendulum-v1") -> PPO:
    return PPO("MlpPolicy", environment, n_steps=128, batch_size=64, n_epochs=1, **copy.deepcopy(SMALL))


def last_status(directory: Path) -> str:
    return str(events(directory, "end")[-1][2]["status"])


def test_the_example_records_films_and_goes_on_in_the_same_run(example: Example, journal_only: Path) -> None:
    example("sb3_pendulum.py", "--steps", 512, "--rollout", 256)
    directory = only_run(journal_only)
    assert {
        "rollout/ep_rew_mean",
        "train/value_loss",
        "time/fps",
        "train/episode_reward",
        "eval/mean_reward",
    } <= names(directory)
    assert films_or_tells(directory)
    assert dict(events(directory, "params")[0][2])["gamma"] == 0.9
    example("sb3_pendulum.py", "--steps", 768, "--rollout", 256)
    assert only_run(journal_only) == directory
    assert {step for name, step, _ in points(directory) if name == "train/episode_length"} == {200, 400, 712}
    assert last_status(directory) == "finished"


class Preempted(BaseCallback):
    """The machine is taken back at a step."""

    def __init__(self, training: Training, at: int) -> None:
        super().__init__()
        self.training, self.at = training, at

    def _on_step(self) -> bool:
        if self.num_timesteps == self.at:
            self.training.stop.request("preempted")
        return True


def test_a_machine_taken_back_saves_and_another_process_goes_on_with_the_replay_buffer(journal_only: Path) -> None:
    def attempt(stop_at: int) -> SAC:
        with Training("cheap", every=1_000, watch=None) as training:
            model = SAC("MlpPolicy", "Pendulum-v1", buffer_size=500, learning_starts=1_000, **copy.deepcopy(SMALL))
            model = training.restore_or(model)
            callbacks = [Preempted(training, stop_at), TouchlineCallback(training)]
            model.learn(450 - model.num_timesteps, callbacks, reset_num_timesteps=False)
        return model

    with pytest.raises(SystemExit) as stopped:
        attempt(stop_at=230)
    assert stopped.value.code == 143
    assert last_status(only_run(journal_only)) == "preempted"
    model = attempt(stop_at=-1)
    assert (model.num_timesteps, model.replay_buffer.pos) == (450, 449)  # a callback ends a step before it is stored
    directory = only_run(journal_only)
    assert last_status(directory) == "finished"
    steps = [step for name, step, _ in points(directory) if name == "train/episode_length"]
    assert sorted(steps) == [200, 430]  # the restored model begins a new episode at 230


def test_episodes_that_end_together_are_one_mean(journal_only: Path) -> None:
    with touchline.start_run("vector") as run:
        ppo(make_vec_env("Pendulum-v1", n_envs=2, seed=0)).learn(512, TouchlineCallback(run))
    lengths = {step: value for name, step, value in points(run.directory) if name == "train/episode_length"}
    assert lengths == {400: 200.0}


def test_what_a_model_dumps_for_each_environment_that_ended_is_one_row_of_the_step(journal_only: Path) -> None:
    def attempt(total: int) -> None:
        with Training("dqn", watch=None) as training:
            environment = make_vec_env("MountainCar-v0", n_envs=3, seed=0)
            model = training.restore_or(DQN("MlpPolicy", environment, learning_starts=10, **copy.deepcopy(SMALL)))
            callback = TouchlineCallback(training)
            remaining = total - model.num_timesteps
            model.learn(remaining, callback, log_interval=1, reset_num_timesteps=False)

    attempt(600)
    attempt(1_200)
    directory = only_run(journal_only)
    assert {step: value for name, step, value in points(directory) if name == "time/episodes"} == {
        600: 3.0,
        1_200: 6.0,
    }
    assert {step for name, step, _ in points(directory) if name == "train/loss"} == {600, 1_200}
    assert not events(directory, "duplicate")
    assert not events(directory, "problem")


def test_an_evaluation_at_the_step_of_the_models_own_dump_leaves_nothing_aside(journal_only: Path) -> None:
    with touchline.start_run("evaluated") as run:
        evaluation = EvalCallback(make_vec_env("Pendulum-v1"), eval_freq=128, n_eval_episodes=1, verbose=0)
        ppo().learn(256, [TouchlineCallback(run), evaluation], log_interval=1)
    assert {"eval/mean_reward", "rollout/ep_rew_mean"} <= names(run.directory)
    assert {step for name, step, _ in points(run.directory) if name == "time/total_timesteps"} == {128, 256}
    assert not events(run.directory, "duplicate")


def test_everything_that_a_logger_takes_reaches_the_run(journal_only: Path) -> None:
    class Media(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 1:
                figure = matplotlib.figure.Figure()
                figure.subplots().plot([0, 1])
                self.logger.record("figure", Figure(figure, close=True))
                self.logger.record("image", Image(np.zeros((3, 8, 10), np.uint8), "CHW"))
                self.logger.record("clip", Video(torch.zeros(1, 4, 3, 16, 16, dtype=torch.uint8), fps=5))
                self.logger.record("hparams", HParam({"extra": 3}, {"number": 0.0}))
                self.logger.record("hidden", 1.0, exclude="touchline")
                self.logger.record("text", "words")
                self.logger.record("number", np.float32(2.0))
                self.logger.dump(self.num_timesteps)
            return True

    with touchline.start_run("media") as run:
        ppo().learn(128, [TouchlineCallback(run), Media()])
    assert ("number", 1, 2.0) in points(run.directory)
    assert "hidden" not in names(run.directory)
    assert [payload["name"] for _, _, payload in events(run.directory, "image")] == ["figure", "image"]
    assert [payload["name"] for _, _, payload in events(run.directory, "video")] == ["clip"]
    assert {"extra": 3} in [payload for _, _, payload in events(run.directory, "params")]


def test_the_deterministic_policy_is_filmed_as_the_model_sees_its_environment(journal_only: Path) -> None:
    environment = VecNormalize(make_vec_env("Pendulum-v1", n_envs=1, seed=0))
    film = drawn(max_episode_steps=20)
    with touchline.start_run("film") as run:
        ppo(environment).learn(256, TouchlineCallback(run, video_env=film, video_every=100, video_seconds=0.0))
    told = [(step, payload["name"], payload["caption"]) for _, step, payload in events(run.directory, "video")]
    assert [(step, name) for step, name, _ in told] == [(100, "eval/video"), (200, "eval/video")]
    assert all(caption.startswith("return -") for _, _, caption in told)


def test_an_environment_that_fails_to_render_costs_the_film_alone(journal_only: Path) -> None:
    class Broken(Drawn):
        def render(self) -> Any:
            raise RuntimeError("no display")

    film = Broken(gymnasium.make("Pendulum-v1"))
    with touchline.start_run("film") as run:
        model = ppo().learn(128, TouchlineCallback(run, video_env=film, video_every=10))
    assert model.num_timesteps == 128
    assert [payload["title"] for _, _, payload in events(run.directory, "alert")] == ["Filming failed"]


def test_what_cannot_go_on_is_refused_with_the_remedy(journal_only: Path) -> None:
    with touchline.start_run("r") as run, pytest.raises(UsageError, match='render_mode="rgb_array"'):
        TouchlineCallback(run, video_env=gymnasium.make("Pendulum-v1"))
    with pytest.raises(UsageError, match="This Training is not open"):
        TouchlineCallback(Training("closed"))
    with pytest.raises(UsageError, match="'a name' is neither a Training nor a run"):
        TouchlineCallback("a name")  # type: ignore[arg-type]
    with Training("again", watch=None) as training:
        ppo().learn(128, TouchlineCallback(training))
    with pytest.raises(UsageError, match="reset_num_timesteps=False"), Training("again", watch=None) as training:
        model = training.restore_or(ppo())
        model.learn(128, TouchlineCallback(training))
