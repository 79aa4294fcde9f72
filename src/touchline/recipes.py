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
    """Two processors and no accelerator: the whole pipeline in less than ten minutes."""
    # Each training lasts one to three minutes: with the usual intervals it would leave a checkpoint or two, no video
    # before its end, and few points a curve.
    often = RecordingConfig(log_minimum_seconds=0.25, checkpoint_minimum_seconds=10.0, video_seconds=45.0)
    return PipelineConfig(
        pretrain=PretrainConfig(recording=replace(often, checkpoint_every=100_000)),
        finetune=FinetuneConfig(recording=replace(often, checkpoint_every=6_000)),
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


RECIPES: Mapping[str, Callable[[], PipelineConfig]] = {"laptop": laptop, "smoke": smoke}


def find_recipe(name: str) -> Callable[[], PipelineConfig]:
    """Return the named recipe; raises UsageError with the nearest name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
