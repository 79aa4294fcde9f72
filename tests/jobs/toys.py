"""A table of small jobs on real Runs, and a script that runs them as a pipeline in a process of its own."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from touchline.jobs.base import Job, JobResult, raise_if_stopped, stop_requested
from touchline.jobs.checkpoints import store_of
from touchline.jobs.recording import RecordingConfig


@dataclass(frozen=True)
class ToyConfig:
    """What a toy job does."""

    seed: int = 0
    trouble: str = ""
    """A file whose existence makes the job do what its name says: fail, wait for a stop, or block in C."""


def toy(config: ToyConfig, run: Any) -> JobResult:
    """Log one number; fail or wait where the file of ``trouble`` exists."""
    run.log({"toy/seed": config.seed}, 0)
    trouble = Path(config.trouble)
    if config.trouble and trouble.exists():
        if trouble.name == "fail":
            raise ValueError("the ball is flat")
        (trouble.parent / "waiting").touch()
        if trouble.name == "block":
            hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000_000)  # minutes in C, deaf to Python's handlers
        while True:
            raise_if_stopped("between two steps")
            time.sleep(0.01)
    return JobResult({"seed": config.seed}, (f"{run.job} had the seed {config.seed}.",))


@dataclass(frozen=True)
class CountConfig:
    """What a job that can be cut off anywhere does."""

    seed: int = 0
    total_steps: int = 200
    recording: RecordingConfig = field(
        default_factory=lambda: RecordingConfig(checkpoint_every=10, checkpoint_minimum_seconds=0.0)
    )


def count(config: CountConfig, run: Any) -> JobResult:
    """Add up random numbers, logging each sum and saving every 10 steps; a step takes COUNT_SECONDS."""
    store = store_of(run.id, config, run.settings, run=run, allow_changes=True)
    state = store.restore_or({"sum": np.zeros(1), "generator": np.random.default_rng(config.seed)})
    for step in range(store.step + 1, config.total_steps + 1):
        state["sum"] += state["generator"].random()
        run.log({"sum": float(state["sum"][0])}, step)
        store.maybe_save(step, state)
        if stop_requested():
            store.save(step, state)
        raise_if_stopped(f"after {step} steps")
        time.sleep(float(os.environ.get("COUNT_SECONDS", "0")))
    store.wait()
    return JobResult({"sum": float(state["sum"][0])})


@dataclass(frozen=True)
class CountPipeline:
    """One configuration a job."""

    seed: int = 0
    count: CountConfig = field(default_factory=CountConfig)
    second: ToyConfig = field(default_factory=ToyConfig)


COUNT = Job("count", "tests.jobs.toys:count", "tests.jobs.toys:CountConfig", "counts")


@dataclass(frozen=True)
class ToyPipeline:
    """One configuration a toy job."""

    seed: int = 0
    first: ToyConfig = field(default_factory=ToyConfig)
    second: ToyConfig = field(default_factory=ToyConfig)
    third: ToyConfig = field(default_factory=ToyConfig)


TOYS = {
    name: Job(name, "tests.jobs.toys:toy", "tests.jobs.toys:ToyConfig", f"toy number {name}")
    for name in ("first", "second", "third")
}


def main(home: str, trouble: str) -> int:
    """Run the toys as ``touchline run pipeline`` would; the exit code is the command line's.

    For ``trouble`` = "count" the pipeline is one that counts.
    """
    settings = Settings.load(home=home, sinks=("mlflow",))
    config: Any = ToyPipeline(second=ToyConfig(trouble=trouble))
    jobs = TOYS
    if trouble == "count":
        config = CountPipeline()
        jobs = {"count": COUNT, "second": TOYS["second"]}

    def run() -> int:
        settings.ensure_home()
        with stoppable(settings):
            run_pipeline(config, settings, recipe="toy", command="toys again", jobs=jobs)
        return 0

    return guarded(run)


if __name__ == "__main__":
    from touchline.cli import guarded
    from touchline.config import Settings
    from touchline.jobs.pipeline import run_pipeline
    from touchline.jobs.run import stoppable

    sys.exit(main(*sys.argv[1:]))
