"""A table of small jobs on real Runs, and a script that runs them as a pipeline in a process of its own."""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchline.jobs.base import Job, JobResult, raise_if_stopped


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
    """Run the toys as ``touchline run pipeline`` would; the exit code is the command line's."""
    settings = Settings.load(home=home, sinks=("mlflow",))
    config = ToyPipeline(second=ToyConfig(trouble=trouble))

    def run() -> int:
        settings.ensure_home()
        with stoppable(settings):
            run_pipeline(config, settings, recipe="toy", command="toys again", jobs=TOYS)
        return 0

    return guarded(run)


if __name__ == "__main__":
    from touchline.cli import guarded
    from touchline.config import Settings
    from touchline.jobs.pipeline import run_pipeline
    from touchline.jobs.run import stoppable

    sys.exit(main(*sys.argv[1:]))
