"""A job of seconds to tune: a hill that is climbed in steps, with troubles at chosen places."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from touchline.checkpoint import CheckpointStore, StopSignal
from touchline.filesystem import whole_file
from touchline.jobs.base import raise_if_stopped, stop_requested
from touchline.jobs.checkpoints import store_of
from touchline.jobs.recording import RecordingConfig
from touchline.tracking.process import identity_of


@dataclass(frozen=True)
class Gear:
    """Something nested."""

    weight: float = 1.0
    rope: bool = True


@dataclass(frozen=True)
class HillConfig:
    """Where one climbs."""

    x: float = 0.0
    y: float = 0.0
    seed: int = 0
    steps: int = 20
    seconds: float = 0.0
    """That a step takes."""
    trouble: str = ""
    """What happens at step 3: nan, memory, crash, exit, left, error; or a kill, once, that leaves this file."""
    gear: Gear = field(default_factory=Gear)
    recording: RecordingConfig = field(
        default_factory=lambda: RecordingConfig(checkpoint_every=5, checkpoint_minimum_seconds=0.0)
    )


def climb(config: HillConfig, run: Any) -> None:
    """Climb towards a height that is greatest at (0.3, -0.2)."""
    store = store_of(run.id, config, run.settings, run=run, allow_changes=True)
    state = store.restore_or({"height": np.zeros(1), "generator": np.random.default_rng(config.seed)})
    top = 1.0 - (config.x - 0.3) ** 2 - (config.y + 0.2) ** 2
    for step in range(store.step + 1, config.steps + 1):
        if step == 3:
            _have(config.trouble)
        state["height"][0] += 0.2 * (top - state["height"][0]) + 0.001 * state["generator"].normal()
        run.report(state["height"][0], step)
        store.maybe_save(step, state)
        if stop_requested():
            store.save(step, state)
        raise_if_stopped(f"after {step} steps")
        time.sleep(config.seconds)
    store.wait()


def wander(config: HillConfig, run: Any) -> float:
    """Walk for a long time, with an ear for nobody."""
    for step in range(1, 10_000):
        if run.report_due(step):
            run.report(-abs(config.x), step)
        time.sleep(0.01)
    return -abs(config.x)


def keep(config: HillConfig, run: Any) -> float:
    """Walk for a long time, with a checkpoint store that hears a stop by itself and leaves by ``sys.exit``."""
    with StopSignal() as stop:
        store = CheckpointStore(run.directory / "own", every=1_000, stop=stop)
        state = store.restore_or({"step": 0})
        for step in range(store.step + 1, 10_000):
            run.report(-abs(config.x), step)
            state["step"] = step
            store.maybe_save(step, state)
            time.sleep(0.01)
    return -abs(config.x)


def linger(config: HillConfig, run: Any) -> float:
    """Sit down with a child, with an ear for nobody, the first time; the second time nobody may be there any more."""
    place = Path(config.trouble)
    if not place.exists():
        child = subprocess.Popen(["sleep", "300"])
        with whole_file(place) as file:
            file.write(f"{os.getpid()} {child.pid}".encode())
        time.sleep(300.0)
    for pid in map(int, place.read_text().split()):
        if identity_of(pid) is not None:
            raise RuntimeError(f"the process {pid} is still there")
    return 1.0


def _have(trouble: str) -> None:
    if trouble == "nan":
        raise FloatingPointError("critic_loss is nan after 3 steps.")
    if trouble == "memory":
        raise MemoryError("no room")
    if trouble == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if trouble == "left":
        sys.exit(0)
    if trouble == "exit":
        os._exit(7)
    if trouble == "error":
        raise ValueError("the ball is flat")
    if trouble and not Path(trouble).exists():
        Path(trouble).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def not_annotated(config, run):  # type: ignore[no-untyped-def]
    """Nobody knows its configuration."""
