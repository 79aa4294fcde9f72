"""A real training loop with everything on against no tracking at all: the throughput lost after start-up.

Goal: the one-sided 95 % upper bound of the paired loss is at most 3 %. Everything on: four numbers each step to
MLflow (SQLite), W&B's stand-in and TensorBoard, a video each block of 20 s, the GPU watch, console, source, packages.
Once with one thread, as beside a GPU, and once with a thread a processor, where couriers and loop share them.
Usage: python benchmarks/tracking_throughput.py [--quick]
"""

from __future__ import annotations

import os
import statistics
from functools import partial
from typing import Any

from harness import Part, child, kept_share, scratch, stand_in, table


def train(part: Part, threads: int) -> dict[str, Any]:
    """Train in alternating blocks with so many threads."""
    pairs, seconds = part.size(5, 2), part.size(20, 4)
    with scratch() as home, stand_in() as server:
        found: dict[str, Any] = child(
            "train_loop.py", home, server.url, threads, pairs, seconds, timeout=900.0, WANDB_API_KEY=server.key
        )
    bare, tracked = found["speeds"]["bare"], found["speeds"]["tracked"]
    share = kept_share([1 / speed for speed in bare], [1 / speed for speed in tracked])
    return {**found, **share, "step_ms": round(1e3 / statistics.median(bare), 2)}


def main() -> None:
    """Measure, keep and print."""
    part = Part("throughput", __doc__)
    rows = []
    for name, threads in (("one thread", 1), ("a thread a processor", os.cpu_count() or 1)):
        found = part.measure(name, partial(train, part, threads))
        keys = ("step_ms", "kept_percent", "loss_percent_at_most", "courier_cpu_percent_of_a_processor")
        rows.append([name, *(found[key] for key in keys), found["start_seconds"], found["finish_seconds"]])
    head = [
        "loop",
        "bare step ms",
        "speed kept %",
        "loss at most % (95 %)",
        "couriers % of a CPU",
        "start s",
        "finish s",
    ]
    table(head, rows)


if __name__ == "__main__":
    main()
