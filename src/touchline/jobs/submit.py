"""Job *submit*: the package the competition takes, made of the champion and tried locally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError, at_least
from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class SubmitConfig:
    """Configuration of *submit*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    seed: int = 0
    """Master seed of the official resets on which the package is tried, as the competition derives them from it."""
    episodes: int = 1
    """Episodes a task on which the package is tried."""
    processes: int = 2
    """Processes that play the same episodes as gate 3 does."""

    def __post_init__(self) -> None:
        at_least(1, self, "episodes", "processes")


def submit(config: SubmitConfig, run: Run) -> JobResult:
    """Pack ``ddpg_finetuned@Champion``, let the competition's own code play the package, and compare with the gate's.

    Both must reach the same score to the last bit, because they play one file; where they do not, an alert says so.
    Without ``sai_rl`` the package is made all the same, and only the gate's way is played.

    Raises:
        TouchlineError: the champion's file is not the one that gate 3 played, or ``sai_rl`` refuses the package.
    """
    import tempfile
    from pathlib import Path

    import numpy as np

    from touchline.catalog import Catalog
    from touchline.jobs.models import load_policy

    if config.world != "soccer":
        return JobResult({}, ("Only soccer has a competition, so there is nothing to pack.",))
    version = Catalog.of(run.settings).resolve("ddpg_finetuned", "Champion")
    if version is None:
        return JobResult({}, ("There is no champion yet, so there is nothing to pack.",))

    from touchline.jobs import competition
    from touchline.jobs.deployment import DeployedPolicy
    from touchline.jobs.judge import Judge
    from touchline.jobs.submission import write_package
    from touchline.soccer.scenario import Scenario
    from touchline.soccer.tasks import TASKS

    loaded = load_policy(run, "ddpg_finetuned", "Champion")
    policy = loaded.policy
    assert isinstance(policy, DeployedPolicy)
    judged = version.tag("gate3.file") or policy.digest
    if judged != policy.digest:
        raise TouchlineError(
            f"The file of {version} has the digest {policy.digest}, and gate 3 played {judged}. Nothing was packed; "
            "judge it again with: touchline run gate3"
        )
    with tempfile.TemporaryDirectory(dir=run.directory) as directory:
        package = write_package(policy, Path(directory) / "submission")
        if competition.is_installed():
            theirs = {one.task: one for one in competition.benchmark(package, TASKS, config.seed, config.episodes)}
        else:
            theirs = {}
        run.log_artifact(package)
    seeds = {
        task: theirs[task].seeds if theirs else range(config.seed, config.seed + config.episodes) for task in TASKS
    }
    with Judge(config.processes) as judge:
        ours = judge.evaluate(policy, [Scenario(task, seed) for task in TASKS for seed in seeds[task]])

    scores = {task: float(found.mean()) for task, found in ours.scores.items()}
    equal = all(tuple(ours.scores[task]) == one.scores for task, one in theirs.items())
    for task in TASKS:
        run.log(
            {
                f"submission/score_{task}": scores[task],
                f"submission/physics_steps_{task}": float(ours.physics_steps[task].mean()),
                **({f"submission/sai_rl_score_{task}": float(np.mean(theirs[task].scores))} if theirs else {}),
            },
            0,
        )
    run.set_tags({"submit.file": policy.digest, "submit.sai_rl": _told(bool(theirs), equal)})
    told = ", ".join(f"{task} {score:.3f}" for task, score in scores.items())
    if not theirs:
        checked = "sai_rl did not play it, for it is not installed: pip install 'touchline[competition]'"
    elif equal:
        checked = "sai_rl, the competition's own code, scores its files alike to the last bit"
    else:
        rows = [f"{task} {np.mean(one.scores):.3f}" for task, one in theirs.items()]
        checked = f"sai_rl, the competition's own code, scores its files otherwise: {', '.join(rows)}"
        run.alert("The competition scores the package otherwise", checked, level="warn")
    return JobResult(
        {"scores": scores, "model": str(loaded.source), "file": policy.digest, "sai_rl": _told(bool(theirs), equal)},
        (
            f"The package of {loaded.source} scored: {told}; {checked}. It is the artifact submission/ of run "
            f"{run.id}.",
        ),
    )


def _told(played: bool, equal: bool) -> str:
    return "not played" if not played else "equal" if equal else "different"
