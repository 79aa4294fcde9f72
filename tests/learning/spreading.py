"""Trains the toy on several of four devices, in a process of its own, and tells what came of each as a line of JSON.

Usage: python -m tests.learning.spreading CHECKPOINTS
"""

import json
import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 --xla_cpu_enable_concurrency_optimized_scheduler=false"
    " --xla_backend_optimization_level=0"
)

import jax
import numpy as np

from tests.learning.toy import DeviceSteer, resumable_steer
from touchline.checkpoint import CheckpointStore
from touchline.learning.devices import Devices
from touchline.learning.progress import from_the_start
from touchline.learning.sac_config import SacConfig
from touchline.learning.sac_train import train

CONFIG = SacConfig(actor_hidden=(16,), critic_hidden=(16,), batch_size=32, warmup_steps=64, replay_size=800, n_step=2)


def trained(envs, devices, steps, restore=from_the_start):
    for progress in train(envs, CONFIG, total_steps=steps, seed=3, devices=devices, restore=restore):
        if progress.step >= steps:
            return progress
    return None


def tell(name, progress):
    stored = [leaf for leaf in jax.tree.leaves(progress.loop.memory) if leaf.ndim]
    told = {
        "actor": np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(progress.state.actor)]).tolist(),
        "metrics": {name: float(value) for name, value in progress.metrics.items()},
        "rows": sorted({shard.data.shape[0] for leaf in stored for shard in leaf.addressable_shards}),
        "devices": len(stored[0].sharding.device_set),
    }
    print(json.dumps([name, told]), flush=True)


def main(directory):
    store = CheckpointStore(directory, made_by=Path(__file__))
    half = trained(DeviceSteer(8), 4, 160)
    store.save(half.step, half.loop)
    tell("device, 1", trained(DeviceSteer(8), 1, 320))
    tell("device, 4", trained(DeviceSteer(8), 4, 320))
    tell("device, 4 then 1", trained(DeviceSteer(8), 1, 320, store.restore_or))
    tell("host, 1", trained(resumable_steer(8), 1, 320))
    tell("host, 4", trained(resumable_steer(8), 0, 320))
    cut = jax.jit(Devices.of(4, 8, 32).batches)(np.zeros((2, 32, 3)))
    print(json.dumps(["batches", list(cut.sharding.spec)]))


if __name__ == "__main__":
    main(sys.argv[1])
