"""A training of a fixed cost a step with a full replay buffer, which saves checkpoints; prints its figures as JSON.

Usage: checkpoint_loop.py DIRECTORY ROWS (pauses N | sigterm SECONDS)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from touchline.checkpoint import CheckpointStore, StopSignal
from touchline.learning.replay import ReplayBuffer, Transitions

OBSERVATION, ACTION, BATCH = 89, 12, 256


class Training:
    """DDPG's parts with a random environment: what counts here is their size."""

    def __init__(self, rows: int) -> None:
        torch.set_num_threads(1)
        self.rng = np.random.default_rng(0)
        self.replay = ReplayBuffer(rows, OBSERVATION, ACTION)
        block = self.transitions(min(rows, 10_000))
        for _ in range(-(-rows // len(block.reward))):
            self.replay.add(block)
        self.critic = torch.nn.Sequential(
            torch.nn.Linear(OBSERVATION + ACTION, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1)
        )
        self.optimiser = torch.optim.Adam(self.critic.parameters())
        self.step()

    def transitions(self, count: int) -> Transitions[Any]:
        """Random ones."""
        draw = self.rng.standard_normal
        shapes = ((count, OBSERVATION), (count, ACTION), (count, OBSERVATION), *[(count,)] * 4)
        return Transitions(*(draw(shape, np.float32) for shape in shapes))

    def step(self) -> None:
        """Add three transitions and make one update."""
        self.replay.add(self.transitions(3))
        batch = self.replay.split(torch.from_numpy(self.replay.sample(self.rng, BATCH)))
        inputs = torch.cat([batch.observation, batch.action], 1)
        loss = ((self.critic(inputs)[:, 0] - batch.reward) ** 2).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    @property
    def state(self) -> dict[str, Any]:
        """What is saved."""
        return {"replay": self.replay, "critic": self.critic, "optimiser": self.optimiser, "rng": self.rng}


def timed(call: Any, *arguments: Any, **options: Any) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - began


def pauses(directory: Path, rows: int, rounds: int) -> dict[str, Any]:
    """The pause of the loop for an asynchronous save and for a synchronous one, in turn, in the same training."""
    training = Training(rows)
    store = CheckpointStore(directory, keep_last=1)
    figures: dict[str, list[float]] = {name: [] for name in ("asynchronous", "synchronous", "write")}
    figures |= {"steps_per_second_alone": [], "steps_per_second_while_writing": []}
    for number in range(rounds + 1):  # the first one also takes the memory for the copy
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < 1.0:
            training.step()
            count += 1
        figures["steps_per_second_alone"].append(count)
        figures["asynchronous"].append(timed(store.save, 2 * number, training.state, wait=False))
        count, began = 0, time.perf_counter()
        while store.is_writing:
            training.step()
            count += 1
        figures["steps_per_second_while_writing"].append(count / (time.perf_counter() - began))
        figures["write"].append(store.write_seconds)
        figures["synchronous"].append(timed(store.save, 2 * number + 1, training.state))
    size = sum(path.stat().st_size for path in directory.rglob("*.safetensors"))
    return {"megabytes": round(size / 1e6), "first_asynchronous": figures["asynchronous"][0]} | {
        name: [round(value, 4) for value in values[1:]] for name, values in figures.items()
    }


def sigterm(directory: Path, rows: int, every_seconds: float) -> None:
    """Train and save until a SIGTERM; ends with 143 once the checkpoint is durable."""
    training = Training(rows)
    with StopSignal() as stop:
        store = CheckpointStore(directory, every=1, minimum_seconds=every_seconds, keep_last=1, stop=stop)
        training.state["rng"] = store.restore_or(training.state)["rng"]
        print("training", flush=True)
        step = store.step
        while True:
            training.step()
            step += 1
            if store.maybe_save(step, training.state):
                print(f"saving {step}", flush=True)


if __name__ == "__main__":
    where, rows, what, argument = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    if what == "pauses":
        print(json.dumps(pauses(where, rows, int(argument))))
    else:
        sigterm(where, rows, argument)
