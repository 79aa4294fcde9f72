"""A loop that is busy in NumPy and asks for the machine's figures at its log steps; prints how long each one took.

Usage: watch_loop.py touchline|nvitop|nothing INTERVAL PACE SKIP SECONDS: sampling every INTERVAL seconds, a log step
every PACE seconds, the first SKIP seconds left out. Every fifth log step asks for details, where the watch has those.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np


@contextlib.contextmanager
def touchline(interval: float) -> Iterator[Callable[[bool], object]]:
    """Touchline's watch."""
    from touchline.watch import GpuWatch

    with GpuWatch(interval) as watch:
        yield watch.metrics


@contextlib.contextmanager
def nvitop(interval: float) -> Iterator[Callable[[bool], object]]:
    """nvitop's collector, as its documentation shows it for training loops."""
    from nvitop import Device, ResourceMetricCollector

    collector = ResourceMetricCollector(devices=Device.all(), interval=interval)
    with collector(tag="train"):
        yield lambda detail: collector.collect()


@contextlib.contextmanager
def nothing(interval: float) -> Iterator[Callable[[bool], object]]:
    """A call that does nothing: what it takes to call a function that the loop has pushed out of the caches."""
    yield lambda detail: None


def main(what: str, interval: float, pace: float, skip: float, seconds: float) -> None:
    """Print microseconds of each log step as JSON."""
    took: list[float] = []
    matrix = np.full((60, 60), 0.01)
    with {"touchline": touchline, "nvitop": nvitop, "nothing": nothing}[what](interval) as ask:
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + skip + seconds:
            detail = len(took) % 5 == 4
            ask(detail)
            if now >= began + skip:
                took.append((time.perf_counter() - now) * 1e6)
            while time.perf_counter() < now + pace:
                np.tanh(matrix @ matrix)
    print(json.dumps(took))


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
