"""The competition's scripts: its training loop and its videos, called as they are, recorded, without its mistakes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gymnasium.vector import SyncVectorEnv

import touchline.compat.mlflow as mlflow
import touchline.compat.wandb as wandb
from touchline.compat.competition import DDPG_FF, get_wandb_video, training_loop
from touchline.errors import UsageError

from .conftest import done, events, only_run, points, process

torch.set_num_threads(1)
EXAMPLE = Path(__file__).parents[2] / "examples" / "competition_ddpg.py"


class Lever(gymnasium.Env[Any, Any]):
    """Torques of up to 45; what was asked for is kept. An episode ends after 7 steps, by the clock or by itself."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64)
    action_space = gymnasium.spaces.Box(-45.0, 45.0, (2,), np.float64)

    def __init__(self, *, falls: bool = False) -> None:
        self.falls, self.steps, self.closed, self.torques = falls, 0, False, []

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return np.full(3, 0.1), {"place": 0.1}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.torques.append(np.array(action))
        over = self.steps >= 7
        return np.full(3, 0.1), 1.0, over and self.falls, over and not self.falls, {"place": 0.1}

    def close(self) -> None:
        self.closed = True


class Buttons(Lever):
    action_space = gymnasium.spaces.Discrete(2)  # type: ignore[assignment]


class Broken(Lever):
    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, float("nan"), *rest


class Preprocessor:
    def modify_state(self, observation: Any, info: Any) -> Any:
        return np.concatenate([observation, [info["place"]]])[None]


class Recorder(DDPG_FF):
    """Keeps the batches that it is trained with."""

    def train(self, *batch: Any) -> Any:
        if len(batch) == 6:
            self.batches.append(batch)
        return super().train(*batch)


def model_of(env: gymnasium.Env[Any, Any], features: int = 4, rate: float = 1e-3) -> Recorder:
    torch.manual_seed(0)
    model = Recorder(features, env.action_space, [8, 8], F.relu, rate)
    model.batches = []
    return model


def scaled(policy: Any) -> Any:
    return 45.0 * policy


def test_it_is_called_as_the_competition_calls_it() -> None:
    assert list(inspect.signature(training_loop).parameters) == [
        "env", "model", "action_function", "preprocess_class", "timesteps",
    ]  # fmt: skip


@pytest.fixture
def trained(journal_only: Path) -> tuple[Lever, Recorder, Path]:
    env = Lever()
    model = model_of(env)
    np.random.seed(0)
    training_loop(env, model, scaled, Preprocessor, 200)
    return env, model, only_run(journal_only)


def test_noise_comes_before_scaling_and_the_critic_learns_what_the_actor_can_choose(trained: Any) -> None:
    env, model, _ = trained
    torques = np.array(env.torques)
    assert np.abs(torques).max() > 5.0  # the original never left ±1 N·m
    assert np.diff(torques, axis=0).std() > 2.0  # noise of 0.1 of 45 N·m
    learnt = np.concatenate([batch[1] for batch in model.batches])
    assert np.abs(learnt).max() <= 1.0
    away = np.abs(learnt[:, None] - torques[None] / 45.0).max(-1).min(-1)
    assert away.max() < 1e-5


def test_a_time_out_is_no_end_and_a_fall_is(trained: Any, journal_only: Path) -> None:
    _, model, _ = trained
    assert sum(batch[4].sum() for batch in model.batches) == 0.0
    env = Lever(falls=True)
    falling = model_of(env)
    training_loop(env, falling, scaled, Preprocessor, 120)
    assert sum(batch[4].sum() for batch in falling.batches) > 0.0


def test_it_updates_every_fourth_step_once_a_batch_is_there_and_closes_the_environment(trained: Any) -> None:
    env, model, _ = trained
    assert len(model.batches) == len(range(64, 201, 4))
    assert model.batches[0][0].shape == (64, 4)
    assert model.batches[0][2].shape == model.batches[0][4].shape == (64, 1)
    assert env.closed


def test_everything_is_recorded_in_a_run_of_its_own(trained: Any) -> None:
    _, model, run = trained
    told = points(run)
    assert {step for name, step, _ in told if name == "train/episode_reward"} == set(range(7, 201, 7))
    assert {name for name, step, _ in told if step == 200} >= {"train/critic_loss", "train/actor_loss"}
    (weights,) = run.rglob("model.safetensors")
    from safetensors.torch import load_file

    kept = load_file(weights)
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert [payload["status"] for _, _, payload in events(run, "end")] == ["finished"]


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_run_that_the_script_has_opened_takes_it_all_and_stays_open(tracker: str, journal_only: Path) -> None:
    env = Lever()
    if tracker == "wandb":
        wandb.init(project="booster")
    else:
        mlflow.start_run()
    training_loop(env, model_of(env), scaled, Preprocessor, 20)
    run = only_run(journal_only)
    opened = wandb.run if tracker == "wandb" else mlflow.active_run()
    opened.touchline.log({"later": 1.0}, 21)
    wandb.finish() if tracker == "wandb" else mlflow.end_run()
    assert {name for name, _, _ in points(run)} >= {"train/episode_reward", "later"}


def test_the_same_seed_gives_the_same_training(journal_only: Path) -> None:
    def weights() -> torch.Tensor:
        env = Lever()
        model = model_of(env)
        np.random.seed(3)
        training_loop(env, model, scaled, Preprocessor, 90)
        return torch.cat([part.flatten() for part in model.parameters()])

    assert torch.equal(weights(), weights())


def test_without_functions_observations_go_in_as_they_are_and_actions_fill_the_range(journal_only: Path) -> None:
    env = Lever()
    training_loop(env, model_of(env, features=3), timesteps=30)
    assert 5.0 < np.abs(env.torques).max() <= 45.0


def test_what_cannot_be_trained_is_refused_before_a_run_begins(journal_only: Path) -> None:
    with pytest.raises(UsageError, match=r"Linear cannot be trained here.*DDPG_FF"):
        training_loop(Lever(), torch.nn.Linear(3, 2))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"timesteps": 0}, "timesteps is 0"),
        ({"timesteps": 1.5}, "timesteps is 1.5"),
        ({"timesteps": "500"}, "timesteps is '500'"),
        ({"preprocess_class": Preprocessor()}, "Give the class itself"),
        ({"env": SyncVectorEnv([Lever])}, "a vector of several"),
        ({"env": Buttons()}, "Give an action_function"),
        ({"model": model_of(Lever(), features=5)}, "3 numbers"),
    ]
    for arguments, told in wrong:
        with pytest.raises(UsageError, match=told):
            training_loop(**{"env": Lever(), "model": model_of(Lever(), features=3), "timesteps": 10, **arguments})
    assert not journal_only.exists()


def test_a_reward_that_is_no_number_stops_at_its_step(journal_only: Path) -> None:
    with pytest.raises(FloatingPointError, match="at step 0"):
        training_loop(Broken(), model_of(Lever(), features=3), timesteps=10)


def test_the_model_learns_the_value_of_one_transition_as_its_formula_says() -> None:
    model = model_of(Lever(), rate=1e-2)
    model.gamma, model.tau = 0.5, 0.05
    model.actor_optimizer.param_groups[0]["lr"] = 0.0
    ones = np.ones((64, 1))
    for _ in range(600):
        model.train(np.zeros((64, 4)), np.zeros((64, 2)), ones, np.zeros((64, 4)), 0 * ones, 1)
    assert float(model.critic(torch.zeros(1, 6)).detach()) == pytest.approx(2.0, abs=0.2)
    assert model.eval().training is False


@pytest.mark.parametrize("shape", [(4, 8, 10, 3), (4, 3, 8, 10)])
def test_a_video_in_the_style_of_imitation_learning_goes_into_the_drop_in(
    shape: tuple[int, ...], journal_only: Path
) -> None:
    wandb.init(project="booster")
    renders = [np.full(shape, 200, np.uint8), np.full((2, *shape[1:]), 100, np.uint8)]
    wandb.log({"video": get_wandb_video(renders=renders, n_cols=2, fps=15)}, step=3)
    wandb.finish()
    ((_, step, payload),) = events(only_run(journal_only), "video")
    assert (step, payload["name"]) == (3, "video")


@pytest.mark.slow
def test_the_example_trains_in_the_official_environment(home: Path, tmp_path: Path) -> None:
    settings = {"TOUCHLINE_HOME": str(home), "TOUCHLINE_SINKS": ""}
    done(process(tmp_path, str(EXAMPLE), "--timesteps", "120", **settings))
    assert {name for name, step, _ in points(only_run(home / "runs")) if step == 120} >= {"train/critic_loss"}
