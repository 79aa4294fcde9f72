"""Brax's PPO: what its callbacks record, and that it goes on with the networks that it had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import touchline
from touchline.errors import UsageError
from touchline.integrations.brax import BraxCallbacks
from touchline.integrations.training import Training

from .conftest import Example, events, names, only_run, points


def replicated(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """A tree with a copy on each device, along a new first axis."""
    spread = jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(devices), "i"), jax.sharding.PartitionSpec("i"))
    return jax.tree.map(lambda leaf: jax.device_put(np.stack([leaf] * len(devices)), spread), tree)


@pytest.fixture
def brax_on_this_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brax 0.14.2 calls a function that jax 0.10 removed."""
    if not hasattr(jax, "device_put_replicated"):
        monkeypatch.setattr(jax, "device_put_replicated", replicated, raising=False)


def test_the_example_records_and_goes_on_with_its_networks(
    example: Example, journal_only: Path, brax_on_this_jax: None
) -> None:
    example("brax_ppo.py", "--steps", 64, "--small")
    with Training("brax-ppo", watch=None) as training:
        before = BraxCallbacks(training).restore()
        first = training.start
    assert first >= 64
    assert int(before[0].count.to_numpy()) > 0
    example("brax_ppo.py", "--steps", first + 32, "--small")
    directory = only_run(journal_only)
    assert {"eval/episode_reward", "training/total_loss"} <= names(directory)
    steps = {step for name, step, _ in points(directory) if name == "eval/episode_reward"}
    assert {0, first} < steps
    assert max(steps) >= first + 32
    assert len(events(directory, "rewind")) == 2
    with Training("brax-ppo", watch=None) as training:
        after = BraxCallbacks(training).restore()
    assert int(after[0].count.to_numpy()) > int(before[0].count.to_numpy())  # went on, and did not begin anew


def test_a_run_alone_has_nothing_to_go_on_from(journal_only: Path) -> None:
    with touchline.start_run("r") as run, pytest.raises(UsageError, match="Give BraxCallbacks a Training"):
        BraxCallbacks(run).restore()
