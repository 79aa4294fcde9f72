"""SBX: what goes on is the very model, its optimisers and its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sbx import PPO, SAC

from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.tree import Mismatch

from .conftest import Example, names, only_run, points

OFF_POLICY: dict[str, Any] = {"buffer_size": 300, "learning_starts": 10, "batch_size": 8}


def make(kind: Any, seed: int, width: int = 8, **options: Any) -> Any:
    return kind("MlpPolicy", "Pendulum-v1", seed=seed, policy_kwargs={"net_arch": [width]}, **options)


def test_the_example_records_and_goes_on_in_the_same_run(example: Example, journal_only: Path) -> None:
    example("sbx_pendulum.py", "--steps", 210, "--width", 8)
    example("sbx_pendulum.py", "--steps", 420, "--width", 8)
    directory = only_run(journal_only)
    assert {"train/episode_reward", "train/actor_loss", "rollout/ep_rew_mean"} <= names(directory)
    assert max(step for _, step, _ in points(directory)) >= 400


@pytest.mark.parametrize(
    ("kind", "options"),
    [(SAC, OFF_POLICY), (PPO, {"n_steps": 32, "batch_size": 16, "n_epochs": 1, "target_kl": 0.1})],
    ids=["sac", "ppo"],
)
def test_networks_optimisers_and_keys_come_back(tmp_path: Path, kind: Any, options: dict[str, Any]) -> None:
    model, other = make(kind, 0, **options), make(kind, 1, **options)
    if kind is PPO:  # whose update compiles in a second
        model.learn(64)
    CheckpointStore(tmp_path).save(64, model)
    CheckpointStore(tmp_path).restore_or(other)
    for name in ("actor_state", "qf_state" if kind is SAC else "vf_state"):
        saved, restored = (jax.tree.leaves(getattr(one.policy, name)) for one in (model, other))
        assert all(np.array_equal(a, b) for a, b in zip(saved, restored, strict=True))
    np.testing.assert_array_equal(model.key, other.key)
    if kind is PPO:
        assert other.learn(32, reset_num_timesteps=False).num_timesteps == 96
    with pytest.raises(Mismatch, match=r"policy.actor_state.*was \[.*8\] and is \[.*16\]"):
        CheckpointStore(tmp_path).restore_or(make(kind, 0, width=16, **options))
