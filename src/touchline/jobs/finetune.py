"""Job *finetune*: DDPG in the official environments, from the converted actor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from touchline.errors import at_least
from touchline.jobs.base import JobResult
from touchline.jobs.recording import RecordingConfig
from touchline.learning.ddpg_config import DdpgConfig
from touchline.soccer.perturbation import Perturbation

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class FinetuneConfig:
    """Configuration of *finetune*."""

    seed: int = 0
    """Seed of the networks, the environments and the exploration."""
    total_steps: int = 12_000
    """Policy transitions over the three official environments (10 official physics steps each)."""
    ddpg: DdpgConfig = field(default_factory=DdpgConfig)
    """Hyper-parameters of DDPG."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Declared noise, pushes included, on the official episodes, in training and in selection."""
    selection_every: int = 4_000
    """Policy transitions between evaluations of the actor; the best one is kept, the start included."""
    selection_episodes: int = 2
    """Episodes a task of such an evaluation."""
    environments_per_task: int = 1
    """Official environments stepped side by side, of each of the three tasks."""
    environment_processes: int = 1
    """Processes that step them; 1 steps them in the training's own, which for three is faster to start."""
    processes: int = 2
    """Processes that evaluate."""
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    """When it logs, saves and films."""

    def __post_init__(self) -> None:
        at_least(1, self, "total_steps", "selection_every", "selection_episodes", "processes")
        at_least(1, self, "environments_per_task", "environment_processes")


SELECTION_SEED = 2_000_003
"""Selection judges on these scenarios; gate 3 draws others."""


def finetune(config: FinetuneConfig, run: Run) -> JobResult:
    """Fine-tune, keep the best actor by the competition's score, register ``ddpg_finetuned``.

    The official dense reward teaches; the competition's score selects. The actor it started from is a
    candidate too: fine-tuning that made nothing better says so and hands on what it was given.
    """
    import torch

    from touchline.cadence import Cadence
    from touchline.jobs.films import play_official
    from touchline.jobs.models import load_converted, log_policy, register
    from touchline.jobs.official import Judge
    from touchline.jobs.recorder import Hooks, TrainingRecorder
    from touchline.jobs.selection import Selection
    from touchline.jobs.worlds import official_soccer
    from touchline.learning import ddpg_train
    from touchline.learning.convert import policy_of
    from touchline.learning.ddpg import DDPG_FF
    from touchline.learning.policy import Policy
    from touchline.soccer.control import Controller
    from touchline.soccer.scenario import scenarios
    from touchline.soccer.tasks import TASKS

    torch.set_num_threads(1)  # measured fastest for networks of this size
    start = load_converted(run)
    controller = Controller.from_dict(start.policy.metadata["controller"])
    metadata = {**start.policy.metadata, "job": "finetune", "run": run.id, "seed": config.seed}

    def actor_of(learner: DDPG_FF) -> Policy:
        return policy_of(learner.actor, start.policy, metadata)

    envs = official_soccer(
        TASKS * config.environments_per_task,
        controller,
        perturbation=config.perturbation,
        processes=config.environment_processes,
    )
    # By steps alone: which policies are compared must not depend on the speed of the machine.
    selection_due = Cadence(config.selection_every, minimum_seconds=0.0)
    selection = Selection(newer_wins_ties=False)
    hooks = Hooks(
        trajectories=lambda learner: play_official(actor_of(learner), seconds=6.0),
        state={"selection": selection, "selection_due": selection_due},
        metadata=metadata,
    )
    seeds = range(SELECTION_SEED, SELECTION_SEED + config.selection_episodes)
    with Judge(config.processes) as judge:

        def select(policy: Policy, step: int) -> None:
            judged = judge.evaluate(policy, scenarios(seeds, config.perturbation))
            run.log(
                {
                    "eval/score": judged.mean_score,
                    **{f"eval/score_{task}": float(scores.mean()) for task, scores in judged.scores.items()},
                    "eval/physics_steps": judged.mean_physics_steps,
                    "eval/official_dense_return": judged.mean_return,
                },
                step,
            )
            selection.offer(policy, judged.mean_score, step)

        if not run.resumed:
            select(start.policy, 0)
        try:
            with TrainingRecorder(
                run, config, hooks, total_steps=config.total_steps, decimation=controller.decimation
            ) as recorder:
                for progress in ddpg_train.train(
                    envs,
                    start.policy,
                    config.ddpg,
                    total_steps=config.total_steps,
                    seed=config.seed,
                    section=recorder.section,
                    restore=recorder.restore,
                ):
                    # Before the recorder: what it saves after this step has been selected from too.
                    if selection_due.due(progress.step) or progress.step >= config.total_steps:
                        with recorder.section("evaluation"):
                            select(actor_of(progress.state), progress.step)
                    recorder(progress)
        finally:
            envs.close()

    best, best_step = selection.best, selection.step
    first_score, best_score = selection.first_score, selection.score
    digest = log_policy(run, best)
    run.set_tags({"finetune.best_step": best_step, "finetune.best_score": f"{best_score:.4f}"})
    version = register(run, best, digest, {"eval.score": f"{best_score:.4f}"})
    if best_step:
        told = f"the actor after {best_step:,} policy transitions was best: {first_score:.3f} → {best_score:.3f}"
    else:
        told = f"nothing beat the converted actor's {first_score:.3f}, so it goes on unchanged"
    return JobResult(
        {
            "selection": {"start_score": first_score, "best_score": best_score, "best_step": best_step},
            "model": str(version),
            "cost": recorder.cost,
        },
        (f"Mean official score over the three tasks on {len(seeds)} selection scenarios each: {told}.",),
    )
