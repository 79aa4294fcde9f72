"""Trainings that are saved in the middle, built anew from the checkpoint and continued, also in another process.

``python -m tests.learning.resuming NAME DIRECTORY`` goes on with the training NAME from the checkpoint below the
directory. A process imports what its training needs: JAX and PyTorch take seconds each.
"""

import sys
from pathlib import Path
from typing import Any

from touchline.checkpoint import CheckpointStore

SAC: dict[str, Any] = {
    "actor_hidden": (16, 16),
    "critic_hidden": (16, 16),
    "batch_size": 32,
    "updates_per_step": 2,
    "warmup_steps": 100,
    "replay_size": 300,
}
DDPG: dict[str, Any] = {
    "critic_hidden": (16, 16),
    "batch_size": 16,
    "updates_per_transition": 0.6,
    "score_from": 100,
    "score_until": 400,
    "warmup_steps": 60,
    "critic_warmup_updates": 30,
    "replay_size": 200,
    "noise": 0.3,
}


def sac(envs, restore, total_steps=600, **changed):
    from touchline.learning import sac_train
    from touchline.learning.sac_config import SacConfig

    return sac_train.train(envs, SacConfig(**SAC | changed), total_steps=total_steps, seed=3, restore=restore)


def ddpg(envs, restore, sizes, total_steps=600):
    import torch

    from tests.learning.test_policy import random_policy
    from touchline.learning import ddpg_train
    from touchline.learning.ddpg_config import DdpgConfig

    torch.set_num_threads(1)  # as the job does
    start, config = random_policy(2, sizes), DdpgConfig(**DDPG)
    return ddpg_train.train(envs, start, config, total_steps=total_steps, seed=3, restore=restore)


def sac_toy(restore):
    from tests.learning.toy import resumable_steer

    return sac(resumable_steer(4), restore)


def sac_device(restore):
    from tests.learning.toy import DeviceSteer

    return sac(DeviceSteer(4), restore, n_step=2, actor_every=2, anchor=1.0, anchor_half_life=200)


def sac_native(restore):
    from touchline.simulation.native import NativeWorld
    from touchline.soccer.world import SoccerWorld

    return sac(NativeWorld(SoccerWorld(episode_steps=35), 4), restore, anchor=1.0, anchor_half_life=200)


def ddpg_toy(restore):
    from tests.learning.toy import resumable_steer

    return ddpg(resumable_steer(4), restore, (1, 16, 16, 1))


def ddpg_official(restore):
    from touchline.jobs.worlds import official_soccer
    from touchline.soccer.control import soft_ankles
    from touchline.soccer.observation import OBSERVATION_SIZE
    from touchline.soccer.perturbation import Perturbation
    from touchline.soccer.tasks import TASKS

    envs = official_soccer(TASKS, soft_ankles(), perturbation=Perturbation(), processes=2)
    return ddpg(envs, restore, (OBSERVATION_SIZE, 16, 16, 12), total_steps=420)


TRAININGS = {
    "sac_toy": sac_toy,
    "sac_device": sac_device,
    "sac_native": sac_native,
    "ddpg_toy": ddpg_toy,
    "ddpg_official": ddpg_official,
}
"""Each fills its replay buffer more than once and ends episodes before and after it is saved."""


def store(directory: Path) -> CheckpointStore:
    return CheckpointStore(directory, made_by=Path(__file__))


def unbroken(name: str, at: int, directory: Path) -> None:
    """Train to the end, saved once at step ``at``; save the end, with all that was yielded after ``at``."""
    told: list[Any] = []
    saved = False
    for progress in TRAININGS[name](lambda loop: loop):
        if saved:
            told.append(tell(progress))
        if progress.step >= at and not saved:
            store(directory / "stopped").save(progress.step, progress.loop)
            saved = True
    finish(progress, told, directory / "unbroken")


def resumed(name: str, directory: Path) -> None:
    """Build everything anew and go on from the checkpoint; save the end, with all that was yielded."""
    progresses = TRAININGS[name](store(directory / "stopped").restore_or)
    told = []
    for progress in progresses:
        told.append(tell(progress))
    finish(progress, told, directory / "resumed")


def tell(progress: Any) -> list[Any]:
    metrics = {name: float(value) for name, value in progress.metrics.items()}
    return [progress.step, progress.updates, progress.buffer_size, metrics, progress.episodes.summary()]


def finish(progress: Any, told: list[Any], directory: Path) -> None:
    store(directory).save(progress.step, progress.loop, metadata={"told": told})
    progress.loop.environments.close()


if __name__ == "__main__":
    resumed(sys.argv[1], Path(sys.argv[2]))
