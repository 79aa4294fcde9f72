"""Job *submit*: the package the competition takes, made of the champion and tried locally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class SubmitConfig:
    """Configuration of *submit*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    seed: int = 0
    """Seed of the official resets on which the package is tried, one episode a task."""


def submit(config: SubmitConfig, run: Run) -> JobResult:
    """Pack ``ddpg_finetuned@Champion`` and play one episode a task with the package's files alone."""
    import tempfile
    from pathlib import Path

    from touchline.catalog import Catalog
    from touchline.jobs.models import load_policy

    if config.world != "soccer":
        return JobResult({}, ("Only soccer has a competition, so there is nothing to pack.",))
    if Catalog.of(run.settings).resolve("ddpg_finetuned", "Champion") is None:
        return JobResult({}, ("There is no champion yet, so there is nothing to pack.",))

    import torch

    from touchline.jobs.submission import benchmark_package, write_package
    from touchline.soccer.tasks import TASKS

    torch.set_num_threads(1)
    loaded = load_policy(run, "ddpg_finetuned", "Champion")
    scores: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=run.directory) as directory:
        package = write_package(loaded.policy, Path(directory) / "submission")
        for task in TASKS:
            scores[task], steps = benchmark_package(package, task, config.seed)
            run.log({f"submission/score_{task}": scores[task], f"submission/physics_steps_{task}": steps}, 0)
        run.log_artifact(package)
    told = ", ".join(f"{task} {score:.3f}" for task, score in scores.items())
    return JobResult(
        {"scores": scores, "model": str(loaded.source)},
        (
            f"The package of {loaded.source}, called at every physics step "
            f"as the competition does, scored: {told}. It is the artifact submission/ of run {run.id}.",
        ),
    )
