"""Recipes: functions that return a whole pipeline's configuration, tuned for a kind of machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from touchline.errors import unknown
from touchline.jobs.convert import ConvertConfig
from touchline.jobs.finetune import FinetuneConfig
from touchline.jobs.gate3 import Gate3Config
from touchline.jobs.pretrain import PretrainConfig
from touchline.jobs.recording import RecordingConfig
from touchline.jobs.setup import SetupConfig
from touchline.jobs.submit import SubmitConfig
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.demonstration_config import DemonstrationConfig
from touchline.learning.sac_config import SacConfig
from touchline.soccer.rewards import RewardWeights


@dataclass(frozen=True)
class PipelineConfig:
    """Configuration of the pipeline: one seed and one configuration a job."""

    world: str = "soccer"
    """What is simulated: soccer, or FILE.py or FILE.py:NAME for a world of your own (docs/worlds.md)."""
    seed: int = 0
    """Added to the seed of every job, so that one number repeats the whole with other chances."""
    setup: SetupConfig = field(default_factory=SetupConfig)
    """Checks of the machine."""
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    """SAC on the training scenes."""
    convert: ConvertConfig = field(default_factory=ConvertConfig)
    """JAX to PyTorch."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """DDPG in the official environments."""
    gate3: Gate3Config = field(default_factory=Gate3Config)
    """The judgement."""
    submit: SubmitConfig = field(default_factory=SubmitConfig)
    """The package."""


def laptop() -> PipelineConfig:
    """Two processors and no accelerator: a robot that walks to the ball and scores, in less than ten minutes."""
    # Each training lasts one to three minutes: with the usual intervals it would leave a checkpoint or two, no video
    # before its end, and few points a curve.
    often = RecordingConfig(log_minimum_seconds=0.25, checkpoint_minimum_seconds=10.0, video_seconds=45.0)
    walk = walker().pretrain
    taught = replace(walk.demonstrations, clone_updates=5_000, critic_updates=2_000)
    return PipelineConfig(
        pretrain=replace(
            walk,
            total_steps=32_000,
            demonstrations=taught,
            evaluation_every=8_000,
            recording=replace(often, checkpoint_every=8_000),
        ),
        finetune=FinetuneConfig(
            ddpg=DdpgConfig(noise=0.03),  # a walk bears less of it than a stand
            recording=replace(often, checkpoint_every=6_000),
        ),
        gate3=Gate3Config(scenarios=16),
    )


def stand() -> PipelineConfig:
    """Two processors and no teacher: SAC learns in minutes to stand on soft ankles, which the gate refuses."""
    often = RecordingConfig(log_minimum_seconds=0.25, checkpoint_minimum_seconds=10.0, video_seconds=45.0)
    return PipelineConfig(
        pretrain=PretrainConfig(recording=replace(often, checkpoint_every=100_000)),
        finetune=FinetuneConfig(recording=replace(often, checkpoint_every=6_000)),
    )


def walker() -> PipelineConfig:
    """Two processors and 90 minutes: a walk to the ball, from a teacher's gait and what SAC makes of it."""
    sac = SacConfig(
        actor_hidden=(256, 128),
        critic_norm_weights=False,
        actor_lr=5e-5,
        alpha_lr=1e-4,
        gamma=0.97,
        n_step=3,
        tau=0.01,
        updates_per_step=8,
        actor_every=2,
        replay_size=600_000,
        warmup_steps=5_000,
        initial_alpha=2e-4,
        initial_sigma=0.06,
        target_entropy_per_action=-1.5,
        reward_scale=0.05,
        anchor=2.5,
    )
    weights = RewardWeights(
        alive=3.0,
        upright=0.3,
        still=0.0,
        calm=-0.002,
        effort=-0.05,
        smooth=-0.1,
        progress=5.0,
        facing=0.3,
        stride=1.0,
        slip=-0.2,
        sway=-0.02,
        kick=1.5,
        result=2.0,
    )
    return PipelineConfig(
        pretrain=PretrainConfig(
            total_steps=1_600_000,
            num_envs=64,
            controller="walk",
            episode_steps=250,  # 10 s of 40 ms, as officially
            randomisation="pushes",
            weights=weights,
            sac=sac,
            demonstrations=DemonstrationConfig(transitions=64_000, clone_updates=8_000, critic_updates=6_000),
            evaluation_every=40_000,
            recording=RecordingConfig(checkpoint_every=40_000, video_seconds=1_200.0),
        ),
    )


def _long_finetuning(total_steps: int) -> FinetuneConfig:
    """Twelve official environments over eight processes, with schedules as long as the training."""
    quarter = total_steps // 4
    ddpg = DdpgConfig(score_from=quarter, score_until=2 * quarter, anchor_half_life=quarter, warmup_steps=6_000)
    return FinetuneConfig(
        total_steps=total_steps,
        ddpg=ddpg,
        environments_per_task=4,
        environment_processes=8,
        selection_every=total_steps // 10,
        selection_episodes=8,
        processes=8,
        recording=RecordingConfig(checkpoint_every=total_steps // 20),
    )


def workstation() -> PipelineConfig:
    """16 cores and a night: the walk, with eight times the practice and full randomisation. Not measured."""
    walk = walker().pretrain
    sac = replace(walk.sac, batch_size=512, replay_size=2_000_000)
    recording = replace(walk.recording, checkpoint_every=400_000)
    pretrain = replace(
        walk, total_steps=12_800_000, num_envs=256, randomisation="medium", sac=sac, evaluation_every=200_000
    )
    return PipelineConfig(
        pretrain=replace(pretrain, recording=recording),
        finetune=_long_finetuning(400_000),
        gate3=Gate3Config(scenarios=200, official_episodes=20, processes=16),
    )


def l4() -> PipelineConfig:
    """One NVIDIA L4: 2,048 environments in MJX, 10 million policy transitions. Not measured."""
    walk = walker().pretrain
    # Few large updates, as the fastest trainings of humanoids have them (shared by FastTD3, FastSAC and LIFT).
    sac = replace(
        walk.sac,
        critic_hidden=(512, 256, 128),
        critic_atoms=101,
        value_low=-5.0,
        value_high=15.0,
        batch_size=8_192,
        actor_every=4,
        tau=0.1,
        replay_size=1_048_576,
        warmup_steps=20_480,
    )
    recording = replace(walk.recording, checkpoint_every=1_000_000)
    pretrain = replace(walk, backend="mjx", total_steps=10_000_000, num_envs=2_048, randomisation="medium", sac=sac)
    return PipelineConfig(
        pretrain=replace(pretrain, evaluation_every=500_000, recording=recording),
        finetune=_long_finetuning(200_000),
        gate3=Gate3Config(scenarios=200, official_episodes=20, processes=12),
    )


def h100() -> PipelineConfig:
    """One NVIDIA H100: 4,096 environments in MJX, 100 million policy transitions. Not measured."""
    smaller = l4()
    pretrain = smaller.pretrain
    sac = replace(pretrain.sac, batch_size=16_384, replay_size=4_194_304, warmup_steps=40_960)
    recording = replace(pretrain.recording, checkpoint_every=5_000_000)
    return replace(
        smaller,
        pretrain=replace(
            pretrain,
            total_steps=100_000_000,
            num_envs=4_096,
            sac=sac,
            evaluation_every=2_000_000,
            recording=recording,
        ),
    )


def smoke() -> PipelineConfig:
    """Every job for real but tiny, for checks of the installation: a minute or two; nothing is learned."""
    # The trainings last seconds, in which one point a second is no curve.
    often = RecordingConfig(log_minimum_seconds=0.1, checkpoint_minimum_seconds=0.0)
    return PipelineConfig(
        pretrain=PretrainConfig(total_steps=40_000, num_envs=64, evaluation_episodes=8, recording=often),
        finetune=FinetuneConfig(
            total_steps=1_500, selection_every=1_500, selection_episodes=1, environment_processes=0, recording=often
        ),
    )


RECIPES: Mapping[str, Callable[[], PipelineConfig]] = {
    recipe.__name__: recipe for recipe in (laptop, stand, walker, workstation, l4, h100, smoke)
}


def find_recipe(name: str) -> Callable[[], PipelineConfig]:
    """Return the named recipe; raises UsageError with the nearest name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
