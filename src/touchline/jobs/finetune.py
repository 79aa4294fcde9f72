"""Job *finetune*: DDPG in the target environments (in soccer the official ones), from the converted actor."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from touchline.errors import at_least
from touchline.jobs.base import JobResult
from touchline.jobs.recording import RecordingConfig
from touchline.learning.ddpg_config import DdpgConfig, horizon_seconds
from touchline.soccer.perturbation import Perturbation

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class FinetuneConfig:
    """Configuration of *finetune*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    seed: int = 0
    """Seed of the networks, the environments and the exploration."""
    total_steps: int = 12_000
    """Policy transitions over all environments; in soccer each is 10 official physics steps."""
    ddpg: DdpgConfig = field(default_factory=DdpgConfig)
    """Hyper-parameters of DDPG."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Of soccer: declared noise, pushes included, on the official episodes, in training and in selection."""
    selection_every: int = 4_000
    """Policy transitions between evaluations of the actor; the best one is kept, the start included."""
    selection_episodes: int = 2
    """Episodes a task of such an evaluation."""
    environments_per_task: int = 1
    """Target environments stepped side by side, of each task."""
    environment_processes: int = 1
    """Processes that step them while the learner updates; 0 steps them in the training's own, which is faster to
    start and waits for each."""
    processes: int = 2
    """Processes that evaluate."""
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    """When it logs, saves and films."""

    def __post_init__(self) -> None:
        at_least(1, self, "total_steps", "selection_every", "selection_episodes", "processes")
        at_least(1, self, "environments_per_task")
        at_least(0, self, "environment_processes")


SELECTION_SEED = 2_000_003
"""Selection judges on these scenarios; gate 3 draws others."""


def finetune(config: FinetuneConfig, run: Run) -> JobResult:
    """Fine-tune in the target environments, keep the best actor by its score, register ``ddpg_finetuned``.

    In soccer the official dense reward teaches first, the competition's score takes over by the schedule of ``ddpg``,
    and the score selects. The critic sees the policy's action, which in soccer is a residual on a pose; the torque
    that PD control makes of it, and clips, is the environment's affair. The actor it started from is a candidate
    too: fine-tuning that made nothing better says so and hands on what it was given.
    """
    import torch

    from touchline.cadence import Cadence
    from touchline.jobs.films import play_targets
    from touchline.jobs.judge import Judge
    from touchline.jobs.models import load_converted, log_policy, register
    from touchline.jobs.recorder import Hooks, TrainingRecorder
    from touchline.jobs.selection import Selection
    from touchline.jobs.worlds import load_world, refuse_another_world, side_by_side, target_environment
    from touchline.learning import ddpg_train
    from touchline.learning.convert import policy_of
    from touchline.learning.ddpg import DDPG_FF
    from touchline.learning.policy import Policy
    from touchline.learning.progress import EpisodeStatistics, against_stochastic

    torch.set_num_threads(1)  # measured fastest for networks of this size
    start, world = load_converted(run), load_world(config.world)
    refuse_another_world(world, start.policy, start.source)
    world = world.acting_as(start.policy.metadata)
    metadata = {**start.policy.metadata, "job": "finetune", "run": run.id, "seed": config.seed}
    rate = 1.0 / world.step_seconds
    run.log_params(
        {
            "horizon_seconds_dense": horizon_seconds(config.ddpg.gamma, rate),
            "horizon_seconds_score": horizon_seconds(config.ddpg.score_gamma, rate),
        }
    )

    def actor_of(learner: DDPG_FF) -> Policy:
        return policy_of(learner.actor, start.policy, metadata)

    makes = [
        functools.partial(target_environment, config.world, task, start.policy.metadata, config.perturbation)
        for task in world.tasks * config.environments_per_task
    ]
    envs = side_by_side(makes, config.environment_processes)
    # By steps alone: which policies are compared must not depend on the speed of the machine.
    selection_due = Cadence(config.selection_every, minimum_seconds=0.0)
    selection = Selection(newer_wins_ties=False)
    hooks = Hooks(
        trajectories=lambda learner: play_targets(actor_of(learner), world, seconds=6.0),
        state={"selection": selection, "selection_due": selection_due},
        metadata=metadata,
    )
    seeds = range(SELECTION_SEED, SELECTION_SEED + config.selection_episodes)
    with Judge(config.processes, config.world) as judge:

        def select(
            policy: Policy, step: int, training: EpisodeStatistics | None = None, *, is_candidate: bool = True
        ) -> None:
            judged = judge.evaluate(policy, world.scenarios(seeds, config.perturbation))
            compared = {} if training is None else against_stochastic(judged.mean_return, training)
            run.log({f"eval/{name}": value for name, value in (judged.metrics | compared).items()}, step)
            if is_candidate:
                selection.offer(policy, judged.mean_score, step)
            run.report(judged.mean_score, step)

        if not run.step:
            select(start.policy, 0)
        try:
            with TrainingRecorder(
                run, config, hooks, total_steps=config.total_steps, decimation=world.decimation
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
                    is_candidate = selection_due.due(progress.step) or progress.step >= config.total_steps
                    if is_candidate or run.report_due(progress.step):
                        with recorder.section("evaluation"):
                            actor = actor_of(progress.state)
                            select(actor, progress.step, progress.episodes, is_candidate=is_candidate)
                    recorder(progress)
        finally:
            envs.close()

    best, best_step = selection.best, selection.step
    first_score, best_score = selection.first_score, selection.score
    digest = log_policy(run, best)
    run.set_tags({"finetune.best_step": best_step, "finetune.best_score": f"{best_score:.4f}"})
    # Of a study only the winner is registered, by a run of its own.
    version = None if run.reporter else register(run, digest, best_step, {"eval.score": f"{best_score:.4f}"})
    if best_step:
        told = f"the actor after {best_step:,} policy transitions was best: {first_score:.3f} → {best_score:.3f}"
    else:
        told = f"nothing beat the converted actor's {first_score:.3f}, so it goes on unchanged"
    return JobResult(
        {
            "selection": {"start_score": first_score, "best_score": best_score, "best_step": best_step},
            "model": str(version or "not registered"),
            "cost": recorder.cost,
        },
        (f"Mean score over {len(world.tasks)} tasks on {len(seeds)} selection scenarios each: {told}.",),
        objective=best_score,
    )
