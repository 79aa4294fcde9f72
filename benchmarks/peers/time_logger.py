"""Times one logger in this process: a tight loop with its end, then a paced one. Prints JSON.

Usage: time_logger.py NAME VALUE CALLS PACED_CALLS DIRECTORY [TEMPLATE], where VALUE is float, numpy, torch or jax
and TEMPLATE is a directory to copy first (a ready MLflow store, say).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loggers import Log, open_logger

NAMES = [f"train/metric_{place}" for place in range(10)]
PACE_SECONDS = 0.005


def values_of(kind: str) -> Callable[[int], Any]:
    """Return what makes the value of a step."""
    if kind == "numpy":
        import numpy as np

        return np.float32
    if kind == "torch":
        import torch

        tensor = torch.tensor(0.5)
        return lambda step: tensor
    if kind == "jax":
        import jax.numpy as jnp

        array = jnp.asarray(0.5)
        return lambda step: array
    return float


def timed(log: Log, value: Callable[[int], Any], calls: int, first: int, pause: float) -> list[float]:
    """Time each of ``calls`` calls of ten metrics."""
    durations = []
    for step in range(first, first + calls):
        metrics = {name: value(step) for name in NAMES}
        began = time.perf_counter()
        log(metrics, step)
        durations.append(time.perf_counter() - began)
        if pause:
            time.sleep(pause)
    return durations


def figures(durations: list[float]) -> dict[str, float]:
    """Median, 99th percentile, mean and maximum in microseconds."""
    ordered = sorted(durations)
    chosen = {"median_us": len(ordered) // 2, "p99_us": int(0.99 * len(ordered)), "max_us": -1}
    found = {name: round(ordered[place] * 1e6, 2) for name, place in chosen.items()}
    return {**found, "mean_us": round(sum(ordered) / len(ordered) * 1e6, 2)}


def main() -> None:
    """Measure and print."""
    name, kind, calls, paced_calls, place = sys.argv[1:6]
    value = values_of(kind)
    results: dict[str, Any] = {}
    for phase, count, pause in (("tight", int(calls), 0.0), ("paced", int(paced_calls), PACE_SECONDS)):
        directory = Path(place) / phase
        if len(sys.argv) > 6:
            shutil.copytree(sys.argv[6], directory)
        else:
            directory.mkdir(parents=True)
        logger = open_logger(name, directory)
        timed(logger.log, value, min(10, count), 0, 0.0)
        began = time.perf_counter()
        durations = timed(logger.log, value, count, 10, pause)
        logger.finish()
        wall = time.perf_counter() - began
        results[phase] = {**figures(durations), "calls": count, "wall_us_a_call": round(wall / count * 1e6, 1)}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
