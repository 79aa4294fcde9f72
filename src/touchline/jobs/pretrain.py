"""Job *pretrain*: SAC in JAX on many training scenes at once; registers ``mjx_sac@Candidate-Pretrain``."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from touchline.errors import UsageError, at_least
from touchline.jobs.base import JobResult, raise_if_stopped
from touchline.jobs.recording import RecordingConfig
from touchline.learning.ddpg_config import horizon_seconds
from touchline.learning.demonstration_config import DemonstrationConfig
from touchline.learning.sac_config import SacConfig
from touchline.soccer.rewards import RewardWeights

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.simulation.world import World
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class PretrainConfig:
    """Configuration of *pretrain*."""

    seed: int = 0
    """Seed of the networks, the environments and the exploration."""
    total_steps: int = 500_000
    """Policy transitions over all environments."""
    num_envs: int | None = None
    """Environments stepped together; None: 128 on native, 2,048 on mjx."""
    world: str = "soccer"
    """What is simulated: the pipeline's world, which ``--world`` names."""
    backend: Literal["native", "mjx"] = "native"
    """native: MuJoCo in C over threads, for CPUs; mjx: MuJoCo in JAX, for accelerators."""
    devices: int = 1
    """Local devices of JAX that share environments (of mjx), replay memory and batches; 0: all there are."""
    controller: Literal["soft_ankles", "stand_still", "walk"] = "soft_ankles"
    """Of soccer: pose and gains under the policy, soft_ankles (must balance), stand_still (stands by itself) or walk
    (has room for steps, at 25 actions a second)."""
    episode_steps: int | None = None
    """Time limit of an episode in policy steps; None: the world's own, 500 steps of 20 ms in soccer."""
    randomisation: Literal["own", "none", "mild", "medium", "strong", "pushes"] = "own"
    """How much mass, friction, damping, ball and sensors differ from episode to episode, and how hard pushes are.
    own: what the world says, which is none in soccer. Worlds that nothing can push are not pushed."""
    weights: RewardWeights = field(default_factory=RewardWeights)
    """Of soccer: weights of the dense reward's terms."""
    sac: SacConfig = field(default_factory=SacConfig)
    """Hyper-parameters of SAC."""
    demonstrations: DemonstrationConfig = field(default_factory=DemonstrationConfig)
    """What is learned from the world's teacher first; nothing unless ``transitions`` are asked for."""
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    """When it logs, saves and films."""
    evaluation_every: int = 50_000
    """Policy transitions between evaluations; the policy that did best in one of them is registered."""
    evaluation_episodes: int = 60
    """Episodes of each evaluation in the training scene, pushes and all, on seeds that training never sees."""

    def __post_init__(self) -> None:
        given = [name for name in ("num_envs", "episode_steps") if getattr(self, name) is not None]
        at_least(1, self, "total_steps", "evaluation_every", *given)
        at_least(0, self, "devices")
        at_least(2, self, "evaluation_episodes")

    def load_world(self) -> World:
        """Return the world with what is configured of it.

        Raises UsageError when there is none such, when options of soccer are given for another world, or when what is
        asked of the learner does not fit it: a horizon shorter than its step, a teacher that it lacks.
        """
        from touchline.jobs.worlds import load_world
        from touchline.simulation.randomisation import level_named

        world = load_world(self.world)
        if self.world == "soccer":
            from touchline.soccer.control import controller_named

            world = replace(world, controller=controller_named(self.controller), reward_weights=self.weights)  # type: ignore[type-var]
        elif (self.controller, self.weights) != ("soft_ankles", RewardWeights()):
            raise UsageError(
                f"controller and weights are options of the soccer world, and the world is {self.world}. "
                "Set them in your world instead, and take a recipe that leaves them alone: --recipe stand."
            )
        level = None if self.randomisation == "own" else level_named(self.randomisation)
        if level is not None and not world.pushed:
            level = replace(level, push_speed=0.0)
        if self.sac.horizon_seconds is not None:
            self.sac.for_step(world.step_seconds)
        if self.demonstrations.transitions and not world.has_teacher:
            raise UsageError(f"The world {self.world} has no teacher. Pretrain it without demonstrations.")
        return world.varied(randomisation=level, episode_steps=self.episode_steps)

    def prepare_devices(self, settings: Settings) -> None:
        """Guard jax, say how it takes memory and let it find its devices.

        Raises UsageError when there are fewer than ``devices``, or when environments and batches cannot be cut in as
        many equal parts.
        """
        from touchline.jax_guard import guard_jax

        guard_jax(settings)
        from touchline.learning.devices import Devices
        from touchline.simulation.backends import DEFAULT_ENVIRONMENTS
        from touchline.watch import jax_memory

        if not jax_memory.live_backends():  # a pipeline may train twice in one process
            for note in jax_memory.configure().notes:
                logger.warning("%s", note)
        Devices.of(self.devices, self.num_envs or DEFAULT_ENVIRONMENTS[self.backend], self.sac.batch_size)


logger = logging.getLogger("touchline")

SELECTION_SEED = 1_000_003
"""Selection among the policies of a training plays these episodes; training never resets with it."""
REPORT_SEED = 1_000_033
"""What is reported in the end was played on other episodes than those that selected."""


def pretrain(config: PretrainConfig, run: Run) -> JobResult:
    """Train, compare with the untrained policy on the same scenes, log the model and register it."""
    config.prepare_devices(run.settings)
    import numpy as np

    from touchline.cadence import Cadence
    from touchline.jobs.films import play_scene
    from touchline.jobs.models import log_policy, register
    from touchline.jobs.recorder import Hooks, TrainingRecorder
    from touchline.jobs.selection import Selection
    from touchline.learning import demonstrations, sac_train
    from touchline.learning import sac as algorithm
    from touchline.learning.evaluate_vector import Outcome, evaluate_vector
    from touchline.learning.policy import Policy
    from touchline.learning.progress import EpisodeStatistics, against_stochastic
    from touchline.simulation.backends import make_envs

    world = config.load_world()
    run.set_tags(world.verify(importlib.import_module("jax.numpy" if config.backend == "mjx" else "numpy")))
    run.log_dataset(f"scene of {world.name}", digest=world.digest, source=config.world)
    metadata = {**world.metadata(), "world": world.name, "job": "pretrain", "run": run.id, "seed": config.seed}

    def policy_of(state: algorithm.State) -> Policy:
        return algorithm.to_policy(state, metadata)

    examined = make_envs(world, "native", config.evaluation_episodes)

    def examine(policy: Callable[[Any], Any], seed: int) -> Outcome:
        return evaluate_vector(examined, policy, seed=seed)

    selection = Selection(newer_wins_ties=True)

    def select(
        policy: Policy, step: int, training: EpisodeStatistics | None = None, *, is_candidate: bool = True
    ) -> None:
        outcome = examine(policy, SELECTION_SEED)
        return_ = outcome.figures["return"]
        compared = {} if training is None else against_stochastic(return_, training)
        run.log({f"eval/{name}": value for name, value in (outcome.metrics | compared).items()}, step)
        if is_candidate:
            selection.offer(policy, return_, step)
        run.report(return_, step)

    sac = config.sac.for_step(world.step_seconds)
    run.log_params({"horizon_seconds": horizon_seconds(sac.gamma, 1.0 / world.step_seconds)})
    felt = tuple(world.felt.tolist()) if config.demonstrations.transitions else None
    learner = algorithm.Sac(world.observation_size, world.action_size, sac, world.symmetry, felt)
    untrained = policy_of(learner.init(config.seed))
    if not run.step:
        select(untrained, 0)
    # By steps alone: which policies are compared must not depend on the speed of the machine.
    selection_due = Cadence(config.evaluation_every, minimum_seconds=0.0)

    envs = make_envs(world, config.backend, config.num_envs)

    def teacher(observation: Any, age: Any) -> Any:
        raise_if_stopped("while the teacher was watched")
        return world.demonstrate(envs.qpos, observation, age * world.step_seconds)

    hooks = Hooks(
        trajectories=lambda state: play_scene(policy_of(state), world, seconds=6.0, seed=REPORT_SEED, episodes=4),
        state={"selection": selection, "selection_due": selection_due},
        metadata=metadata,
    )
    try:
        with TrainingRecorder(
            run, config, hooks, total_steps=config.total_steps, decimation=world.decimation
        ) as recorder:

            def begin(fresh: sac_train.Loop) -> sac_train.Loop:
                loop: sac_train.Loop = recorder.restore(fresh)
                if loop.step or not config.demonstrations.transitions:
                    return loop
                return demonstrations.begin(loop, learner, config.demonstrations, teacher, config.seed)

            for progress in sac_train.train(
                envs,
                sac,
                total_steps=config.total_steps,
                seed=config.seed,
                symmetry=world.symmetry,
                felt=felt,
                devices=config.devices,
                section=recorder.section,
                restore=begin,
            ):
                # Before the recorder: what it saves after this step has been selected from too. What the teacher
                # taught is a candidate before anything was learned on top of it.
                just_taught = config.demonstrations.transitions > 0 and progress.step == envs.num_envs
                is_candidate = selection_due.due(progress.step) or just_taught or progress.step >= config.total_steps
                if is_candidate or run.report_due(progress.step):
                    with recorder.section("evaluation"):
                        policy = policy_of(progress.state)
                        select(policy, progress.step, progress.episodes, is_candidate=is_candidate)
                recorder(progress)
        trained, best_step = selection.best, selection.step
        before, after = examine(untrained, REPORT_SEED), examine(trained, REPORT_SEED)
        random = np.random.default_rng(REPORT_SEED)
        explored = examine(lambda observation: trained.sample(observation, random), REPORT_SEED)
    finally:
        envs.close()
        examined.close()
    mean, low, high = after.interval()
    mean_before, low_before, high_before = before.interval()
    figures = {
        "report/return": mean,
        "report/return_low": low,
        "report/return_high": high,
        "report/stochastic_return": float(explored.returns.mean()),
        "report/survival_share": float(after.survived.mean()),
        "report/episode_length": float(after.lengths.mean()),
        "report/untrained_return": mean_before,
        "report/untrained_return_low": low_before,
        "report/untrained_return_high": high_before,
    }
    run.log(figures, best_step)
    run.set_tags({"pretrain.best_step": best_step})

    log_policy(run, untrained, "untrained")
    digest = log_policy(run, trained)
    told = {
        "eval.return": f"{mean:.1f}",
        "eval.stochastic_return": f"{explored.returns.mean():.1f}",
        "eval.untrained_return": f"{mean_before:.1f}",
    }
    # Of a study only the winner is registered, by a run of its own.
    version = None if run.reporter else register(run, digest, best_step, told)
    apart = "the 95 % intervals do not overlap" if low > high_before else "the 95 % intervals overlap"
    return JobResult(
        {"evaluation": figures, "model": str(version or "not registered"), "cost": recorder.cost},
        (
            f"Evaluation return {mean:.0f} [{low:.0f}, {high:.0f}] after {best_step:,} policy transitions, "
            f"untrained {mean_before:.0f} [{low_before:.0f}, {high_before:.0f}]: {apart}. "
            f"It stays up for the whole episode in {after.survived.mean():.0%} of {len(after.returns)} episodes "
            f"(untrained {before.survived.mean():.0%}).",
        ),
        objective=selection.score,
    )
