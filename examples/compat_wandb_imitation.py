"""Imitation learning that speaks to wandb; one import line sends it through Touchline to both tracks.

    python examples/compat_wandb_imitation.py --steps 2000 --run_group Debug

A linear policy clones a teacher from noisy demonstrations. The tracking is what such scripts usually have: a
``setup_wandb`` that is called once, ``wandb.run.project`` in a path, and a row of losses every few steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import touchline.compat.wandb as wandb  # the one line that changes: it was ``import wandb``

OBSERVATIONS, ACTIONS, BATCH = 45, 12, 64


def setup_wandb(project: str, group: str, name: str, config: dict[str, object], mode: str = "online") -> None:
    """Open the run as scripts in the style of OGBench do."""
    wandb.init(
        project=project,
        group=group,
        name=name,
        mode=mode,
        config=config,
        tags=[group] if group else None,
        dir=tempfile.mkdtemp(),
        settings=wandb.Settings(start_method="thread", _disable_stats=False),
    )


def main(arguments: argparse.Namespace) -> None:
    """Clone the teacher."""
    random = np.random.default_rng(arguments.seed)
    name = f"bc_{arguments.seed:03d}_{time.strftime('%Y%m%d_%H%M%S')}"
    setup_wandb("booster", arguments.run_group, name, vars(arguments), arguments.mode)
    folder = Path(arguments.save_dir) / wandb.run.project / arguments.run_group / name
    folder.mkdir(parents=True, exist_ok=True)

    teacher = random.normal(size=(OBSERVATIONS, ACTIONS)) / np.sqrt(OBSERVATIONS)
    policy = np.zeros((OBSERVATIONS, ACTIONS))
    began = last = time.time()
    for step in range(1, arguments.steps + 1):
        observations = random.normal(size=(BATCH, OBSERVATIONS))
        actions = np.tanh(observations @ teacher) + 0.01 * random.normal(size=(BATCH, ACTIONS))
        predicted = np.tanh(observations @ policy)
        error = predicted - actions
        gradient = observations.T @ (error * (1 - predicted**2)) / BATCH
        policy -= arguments.rate * gradient

        if step % arguments.log_interval == 0:
            row = {
                "training/actor_loss": np.float32(np.square(error).mean()),
                "training/gradient_norm": float(np.linalg.norm(gradient)),
                "time/epoch_time": (time.time() - last) / arguments.log_interval,
                "time/total_time": time.time() - began,
            }
            last = time.time()
            wandb.log(row, step=step)
        if step % arguments.save_interval == 0:
            path = folder / f"params_{step}.npy"
            np.save(path, policy)
            wandb.save(str(path), base_path=str(folder))
    wandb.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_group", default="Debug", help="name of the group of runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers")
    parser.add_argument("--steps", type=int, default=20_000, help="gradient steps")
    parser.add_argument("--rate", type=float, default=0.5, help="learning rate")
    parser.add_argument("--log_interval", type=int, default=500, help="gradient steps between two rows")
    parser.add_argument("--save_interval", type=int, default=10_000, help="gradient steps between two saved policies")
    parser.add_argument("--save_dir", default="exp", help="directory of the saved policies")
    parser.add_argument("--mode", default="online", help="online, offline or disabled")
    main(parser.parse_args())
