"""What a save costs the training, and how long a SIGTERM takes to become a durable checkpoint.

A replay buffer of a million transitions of the real observation size (89 values; about 0.8 GB) is saved by a training
loop asynchronously and synchronously, in turn in one process. Then trainings that save all the time get a SIGTERM at
random instants. An interrupted benchmark goes on where it stopped. Usage:
.venv/bin/python benchmarks/checkpoint_save.py [--quick] [--fresh]. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import PEERS, Part, child, environment, scratch, table

from touchline.checkpoint import CheckpointStore

PAUSE_GOAL, SIGTERM_GOAL = 1.0, 10.0
TERMINATED = 143


def terminated(rows: int, seed: int) -> dict[str, Any]:
    """Seconds from a SIGTERM at a random instant to the end of the process, whose checkpoint is then durable."""
    chance = random.Random(seed)
    with scratch() as directory:
        command = [sys.executable, str(PEERS / "checkpoint_loop.py"), str(directory), str(rows), "sigterm", "8"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        assert process.stdout is not None
        if process.stdout.readline() != "training\n" or not process.stdout.readline().startswith("saving"):
            raise RuntimeError(f"{command} did not train")
        # From 0 to 8 s after a save began: into the middle of it, or between two.
        time.sleep(chance.uniform(0.0, 8.0))
        was_writing = bool(list(Path(directory).glob(".partial-*")))
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        seconds = time.perf_counter() - began
        newest = CheckpointStore(directory).latest()
        if code != TERMINATED or newest is None or newest.skipped:
            raise RuntimeError(f"ended with {code} and left {newest}")
    return {"seconds": round(seconds, 3), "while_writing": was_writing}


def main() -> int:
    """Measure, print, and compare with the goals."""
    part = Part("save", __doc__, subject="checkpoint")
    rows = part.size(1_000_000, 20_000)

    def measure_pauses() -> Any:
        with scratch() as directory:
            return child("checkpoint_loop.py", directory, rows, "pauses", part.size(8, 2), timeout=900.0)

    found = part.measure("pauses", measure_pauses)
    medians = {name: float(np.median(values)) for name, values in found.items() if isinstance(values, list)}
    worst = max(found["asynchronous"])
    table(
        ["save of " + str(found["megabytes"]) + " MB", "the loop waits, median s", "worst s"],
        [
            ["asynchronous", medians["asynchronous"], worst],
            ["synchronous, as durable", medians["synchronous"], max(found["synchronous"])],
        ],
    )
    share = medians["steps_per_second_while_writing"] / medians["steps_per_second_alone"]
    print(
        f"The first save of a process: {found['first_asynchronous']:.2f} s. Durable after {medians['write']:.1f} s, "
    )
    print(f"while which the loop runs at {share:.0%} of its speed.")

    times = [
        part.measure(f"sigterm {number}", lambda number=number: terminated(rows, number))
        for number in range(part.size(40, 2))
    ]
    seconds = [one["seconds"] for one in times]
    p99 = float(np.percentile(seconds, 99))
    interrupted = [one["seconds"] for one in times if one["while_writing"]]
    table(
        ["SIGTERM to the end of the process", "times", "median s", "p99 s", "worst s"],
        [
            ["at random instants", len(seconds), float(np.median(seconds)), p99, max(seconds)],
            ["of these in the middle of a save", len(interrupted), *(_figures(interrupted))],
        ],
    )
    part.put("sigterm_p99_s", round(p99, 2))
    return 0 if worst <= PAUSE_GOAL and p99 < SIGTERM_GOAL else 1


def _figures(seconds: list[float]) -> tuple[float | None, float | None, float | None]:
    if not seconds:
        return None, None, None
    return float(np.median(seconds)), float(np.percentile(seconds, 99)), max(seconds)


if __name__ == "__main__":
    sys.exit(main())
