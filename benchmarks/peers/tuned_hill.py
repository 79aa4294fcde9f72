"""A short training to be tuned and killed: a hill climbed in steps, with checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from touchline.jobs.base import raise_if_stopped, stop_requested
from touchline.jobs.checkpoints import store_of
from touchline.jobs.recording import RecordingConfig


@dataclass(frozen=True)
class HillConfig:
    """Where one climbs."""

    x: float = 0.0
    y: float = 0.0
    seed: int = 0
    steps: int = 50
    seconds: float = 0.03
    """That a step takes."""
    recording: RecordingConfig = field(
        default_factory=lambda: RecordingConfig(checkpoint_every=5, checkpoint_minimum_seconds=0.0)
    )


def climb(config: HillConfig, run: Any) -> None:
    """Climb towards a height that is greatest at (0.3, -0.2)."""
    store = store_of(run.id, config, run.settings, run=run, allow_changes=True)
    state = store.restore_or({"height": np.zeros(1), "generator": np.random.default_rng(config.seed)})
    top = 1.0 - (config.x - 0.3) ** 2 - (config.y + 0.2) ** 2
    for step in range(store.step + 1, config.steps + 1):
        state["height"][0] += 0.1 * (top - state["height"][0]) + 0.001 * state["generator"].normal()
        run.report(state["height"][0], step)
        store.maybe_save(step, state)
        if stop_requested():
            store.save(step, state)
        raise_if_stopped(f"after {step} steps")
        time.sleep(config.seconds)
    store.wait()
