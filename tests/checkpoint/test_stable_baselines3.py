"""A model of Stable-Baselines3 goes on in another process with all that it had, and no pickle."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.tree import Mismatch, decode, encode
from touchline.errors import UsageError

from .trees import same

sb3 = pytest.importorskip("stable_baselines3")

from stable_baselines3 import (  # noqa: E402
    A2C,
    DQN,
    PPO,
    SAC,
    TD3,
    HerReplayBuffer,
)
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
from stable_baselines3.common.envs import BitFlippingEnv  # noqa: E402
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise  # noqa: E402
from stable_baselines3.common.vec_env import VecNormalize  # noqa: E402

SMALL = {"policy_kwargs": {"net_arch": [16]}, "device": "cpu"}
OFF_POLICY = {**SMALL, "buffer_size": 300, "learning_starts": 20}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads make networks of this size slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(kind: Any, environment: Any = "Pendulum-v1", seed: int = 0, **options: Any) -> Any:
    return kind("MlpPolicy", environment, seed=seed, **copy.deepcopy(options))  # to which it adds


def sac(seed: int = 0, environment: Any = "Pendulum-v1", **options: Any) -> SAC:
    return make(SAC, environment, seed, **{**OFF_POLICY, **options})


def plain(state: Any) -> Any:
    """Mappings as dict, so that those of PyTorch compare with those of a file."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    return [plain(value) for value in state] if isinstance(state, list | tuple) else state


def told(model: Any) -> dict[str, Any]:
    """What tells two models apart, as JSON; and the next number of the global generator."""
    observations = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
    buffer = getattr(model, "replay_buffer", None)
    rows = buffer.size() if buffer is not None else 0
    return {
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "actions": model.predict(observations, deterministic=True)[0].tolist(),
        "parameters": json.dumps(model.get_parameters(), default=lambda tensor: tensor.tolist()),
        "entropy": model.log_ent_coef.tolist() if hasattr(model, "log_ent_coef") else [],
        "buffer": [getattr(buffer, name)[:rows].tolist() for name in ("observations", "rewards")] if rows else [],
        "position": buffer.pos if buffer is not None else 0,
        "draw": float(np.random.rand()),
    }


def train(kind: str, place: str, total: int) -> list[Any]:
    """The training of the docstring: what the model was when it began here, and at the end."""
    store = CheckpointStore(place, every=100, minimum_seconds=0)

    class Checkpoints(BaseCallback):
        def _on_step(self) -> bool:
            store.maybe_save(self.num_timesteps, self.model)
            return True

    model = store.restore_or(sac() if kind == "sac" else make(PPO, n_steps=64, **SMALL))
    restored = told(model) if store.step else None
    model.learn(total - model.num_timesteps, Checkpoints(), reset_num_timesteps=False)
    store.save(model.num_timesteps, model)
    return [restored, told(model)]


AGAIN = """
import json, sys, torch
from tests.checkpoint.test_stable_baselines3 import train
torch.set_num_threads(1)
print(json.dumps(train(sys.argv[1], sys.argv[2], 320)))
"""


@pytest.mark.parametrize("kind", ["sac", "ppo"])
def test_a_training_goes_on_in_a_new_process_with_all_that_it_had(kind: str, tmp_path: Path) -> None:
    nothing, saved = train(kind, str(tmp_path), 192)
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2]}"}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, kind, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    restored, after = json.loads(done.stdout)
    assert nothing is None
    assert restored == saved
    assert saved["steps"] == 192
    assert after["steps"] == 320
    assert after["updates"] > saved["updates"]
    assert after["actions"] != saved["actions"]


@pytest.mark.parametrize(
    ("kind", "environment", "options"),
    [
        (SAC, "Pendulum-v1", OFF_POLICY),
        (SAC, "Pendulum-v1", {**OFF_POLICY, "ent_coef": 0.1}),
        (TD3, "Pendulum-v1", OFF_POLICY),
        (DQN, "CartPole-v1", OFF_POLICY),
        (
            DQN,
            "CartPole-v1",
            {
                **OFF_POLICY,
                "optimize_memory_usage": True,
                "replay_buffer_kwargs": {"handle_timeout_termination": False},
            },
        ),
        (PPO, "CartPole-v1", {**SMALL, "n_steps": 32, "batch_size": 32}),
        (A2C, "CartPole-v1", SMALL),
    ],
    ids=["sac", "sac with fixed entropy", "td3", "dqn", "dqn with less memory", "ppo", "a2c"],
)
def test_every_algorithm_comes_back_as_it_was(kind: Any, environment: str, options: Any, tmp_path: Path) -> None:
    model = make(kind, environment, 0, **options).learn(64)
    CheckpointStore(tmp_path).save(model.num_timesteps, model)
    other = make(kind, environment, 1, **options).learn(32)
    restored = CheckpointStore(tmp_path).restore_or(other)
    assert restored is other
    assert same(plain(restored.get_parameters()), plain(model.get_parameters()))
    one, two = (encode(each) for each in (model, restored))
    assert one.description == two.description
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    restored.learn(64, reset_num_timesteps=False)
    assert restored.num_timesteps >= model.num_timesteps + 64


def test_only_the_rows_that_are_filled_are_saved(tmp_path: Path) -> None:
    model = sac(buffer_size=100_000).learn(30)
    rows = encode(model).arrays["replay_buffer/rows/observations"]
    assert rows.shape == (30, 1, 3)
    other = sac(seed=1, buffer_size=100_000)
    CheckpointStore(tmp_path).save(30, model)
    CheckpointStore(tmp_path).restore_or(other)
    assert (other.replay_buffer.pos, other.replay_buffer.full) == (30, False)
    np.testing.assert_array_equal(other.replay_buffer.observations[:30], model.replay_buffer.observations[:30])


def test_a_restored_model_begins_an_episode_that_it_has_not_begun_before(tmp_path: Path) -> None:
    class Starts(gymnasium.Wrapper):
        seen: list[bytes]

        def reset(self, **options: Any) -> Any:
            observation, info = super().reset(**options)
            self.seen = [*getattr(self, "seen", []), observation.tobytes()]
            return observation, info

    first, second = (Starts(gymnasium.make("Pendulum-v1")) for _ in range(2))
    model = sac(environment=first).learn(30)
    CheckpointStore(tmp_path).save(30, model)
    CheckpointStore(tmp_path).restore_or(sac(environment=second)).learn(30, reset_num_timesteps=False)
    assert second.seen[-1] not in first.seen


def test_the_statistics_of_vec_normalize_go_with_the_model_and_alone(tmp_path: Path) -> None:
    def environment() -> VecNormalize:
        return VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))

    def statistics(normalize: VecNormalize) -> list[Any]:
        return [part for one in (normalize.obs_rms, normalize.ret_rms) for part in (one.mean, one.var, one.count)]

    model = make(PPO, environment(), n_steps=32, batch_size=32, **SMALL).learn(64)
    expected = statistics(model.get_vec_normalize_env())
    CheckpointStore(tmp_path / "model").save(64, model)
    other = make(PPO, environment(), 1, n_steps=32, batch_size=32, **SMALL)
    CheckpointStore(tmp_path / "model").restore_or(other)
    assert same(statistics(other.get_vec_normalize_env()), expected)
    CheckpointStore(tmp_path / "alone").save(64, {"env": model.get_vec_normalize_env()})
    alone = environment()
    CheckpointStore(tmp_path / "alone").restore_or({"env": alone})
    assert same(statistics(alone), expected)
    with pytest.raises(Mismatch, match="only the checkpoint has a vec normalize"):
        bare = make_vec_env("Pendulum-v1", n_envs=2)
        CheckpointStore(tmp_path / "model").restore_or(make(PPO, bare, n_steps=32, batch_size=32, **SMALL))


def test_a_replay_buffer_alone_comes_back(tmp_path: Path) -> None:
    model, other = sac().learn(40), sac(seed=1)
    CheckpointStore(tmp_path).save(40, {"buffer": model.replay_buffer})
    CheckpointStore(tmp_path).restore_or({"buffer": other.replay_buffer})
    np.testing.assert_array_equal(other.replay_buffer.rewards, model.replay_buffer.rewards)


def test_action_noise_does_not_hinder(tmp_path: Path) -> None:
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1))
    model = make(TD3, action_noise=noise, **OFF_POLICY).learn(30)
    CheckpointStore(tmp_path).save(30, model)
    other = make(TD3, action_noise=noise, **OFF_POLICY)
    assert CheckpointStore(tmp_path).restore_or(other).learn(10, reset_num_timesteps=False).num_timesteps == 40


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: make(TD3, **OFF_POLICY), "the algorithm was SAC and is TD3"),
        (
            lambda: sac(environment="MountainCarContinuous-v0"),
            r"observation space was Box\(.*\(3,\), float32\) and is",
        ),
        (lambda: sac(buffer_size=200), "the replay buffer's size was 300 and is 200"),
        (
            lambda: sac(policy_kwargs={"net_arch": [32]}),
            r"policy: actor.latent_pi.0.weight was float32\[16, 3\] and is float32\[32, 3\]",
        ),
        (lambda: sac(ent_coef=0.1), "only the checkpoint has ent_coef_optimizer"),
        (lambda: sac(environment=make_vec_env("Pendulum-v1", 2)), "number of environments was 1 and is 2"),
    ],
    ids=["algorithm", "spaces", "buffer", "networks", "entropy", "environments"],
)
def test_another_model_is_refused_before_anything_is_loaded(other: Any, told: str) -> None:
    encoded = encode({"model": sac().learn(30)})
    mine = other()
    before = encode(mine)
    before = before._replace(arrays={name: array.copy() for name, array in before.arrays.items()})
    with pytest.raises(Mismatch, match=told):
        decode(encoded, {"model": mine})
    after = encode(mine)
    assert after.description == before.description
    assert all(np.array_equal(after.arrays[name], before.arrays[name]) for name in before.arrays)


def test_what_is_no_model_is_refused() -> None:
    class Nothing(BaseCallback):
        def _on_step(self) -> bool:
            return True

    with pytest.raises(UsageError, match="Nothing cannot be saved. Save the model itself"):
        encode({"callback": Nothing()})


def test_hindsight_replay_goes_on_without_the_episode_that_was_cut(tmp_path: Path) -> None:
    def make_model(seed: int) -> Any:
        environment = BitFlippingEnv(n_bits=4, continuous=True)
        options = {**OFF_POLICY, "replay_buffer_class": HerReplayBuffer}
        return SAC("MultiInputPolicy", environment, seed=seed, **copy.deepcopy(options))

    model = make_model(0).learn(30)
    CheckpointStore(tmp_path).save(30, model)
    other = CheckpointStore(tmp_path).restore_or(make_model(1))
    buffer = other.replay_buffer
    assert buffer.pos == 30
    for name, rows in model.replay_buffer.observations.items():
        np.testing.assert_array_equal(buffer.observations[name][:30], rows[:30])
    finished = buffer.ep_length[:30].copy()
    other.learn(30, reset_num_timesteps=False)
    assert other.num_timesteps == 60
    np.testing.assert_array_equal(buffer.ep_length[:30], finished)
