"""A small real training, SAC or DDPG, that goes on from its newest checkpoint and saves several times a second.

Usage: checkpoint_training.py sac|ddpg DIRECTORY TOTAL_STEPS. Prints "training STEP" when it begins, and at its end
the digests of what it has come to as JSON.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from touchline.checkpoint import CheckpointStore
from touchline.config import Settings
from touchline.jax_guard import guard_jax

SAVE_SECONDS = 0.3
COMPILED = 40
"""Vector steps after which JAX has compiled everything, and a kill meets a training at full speed."""


def sac(total_steps: int, restore: Any) -> Iterator[Any]:
    """SAC on eight training scenes of the real robot."""
    from touchline.learning import sac_train
    from touchline.learning.sac_config import SacConfig
    from touchline.simulation.native import NativeWorld
    from touchline.soccer.world import SoccerWorld

    config = SacConfig(
        actor_hidden=(32, 32), critic_hidden=(32, 32), batch_size=64, updates_per_step=1, replay_size=5_000,
        warmup_steps=200,
    )  # fmt: skip
    return sac_train.train(NativeWorld(SoccerWorld(), 8), config, total_steps=total_steps, seed=3, restore=restore)


def ddpg(total_steps: int, restore: Any) -> Iterator[Any]:
    """DDPG in the three official environments."""
    import numpy as np
    import torch

    from touchline.learning import ddpg_train
    from touchline.learning.ddpg_config import DdpgConfig
    from touchline.learning.policy import Policy
    from touchline.learning.vector import ResumableVectorEnv
    from touchline.soccer.control import soft_ankles
    from touchline.soccer.official import OfficialEnv
    from touchline.soccer.tasks import TASKS

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    sizes = (89, 32, 32, 12)
    start = Policy(
        weights=tuple(0.1 * rng.standard_normal((m, n), np.float32) for n, m in itertools.pairwise(sizes)),
        biases=tuple(np.zeros(n, np.float32) for n in sizes[1:]),
        mean=np.zeros(89, np.float32),
        std=np.ones(89, np.float32),
    )
    controller = soft_ankles()
    envs = ResumableVectorEnv([lambda task=task: OfficialEnv(task, controller) for task in TASKS])
    config = DdpgConfig(
        critic_hidden=(32, 32), batch_size=64, updates_per_transition=0.34, replay_size=5_000, warmup_steps=60,
        critic_warmup_updates=50,
    )  # fmt: skip
    return ddpg_train.train(envs, start, config, total_steps=total_steps, seed=3, restore=restore)


def digests(loop: Any) -> dict[str, str]:
    """One digest of each part of the loop, and of all of it."""
    from touchline.checkpoint.tree import encode

    def of(tree: Any) -> str:
        description, arrays = encode(tree)
        found = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
        for name in sorted(arrays):
            found.update(name.encode() + arrays[name].tobytes())
        return found.hexdigest()[:16]

    return {"all": of(loop), **{name: of(getattr(loop, name)) for name in loop._fields}}


def main() -> None:
    """Train."""
    kind, directory, total = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    guard_jax(Settings(home=directory.parent))
    store = CheckpointStore(directory, every=1, minimum_seconds=SAVE_SECONDS)
    for number, progress in enumerate({"sac": sac, "ddpg": ddpg}[kind](total, store.restore_or)):
        if number == COMPILED:
            print(f"training {store.step}", flush=True)
        store.maybe_save(progress.step, progress.loop)
    store.wait()
    print(json.dumps({"step": progress.step, "updates": progress.updates, "digests": digests(progress.loop)}))


if __name__ == "__main__":
    main()
