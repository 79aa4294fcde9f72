"""How many events a second the journal takes, and what a loop meets that logs more than that.

Usage: python benchmarks/tracking_capacity.py [--quick]
"""

from __future__ import annotations

import time
from typing import Any, Literal

from harness import Part, quantiles, scratch, table

from touchline.config import Settings
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.start import start_run

NAMES = [f"train/metric_{place}" for place in range(10)]
SMALL_QUEUE = 4 * 1024 * 1024
"""Bytes; fills within a second or two, so that a short benchmark sees what a full queue does."""


def sustained(part: Part, names: list[str], durability: Literal["batch", "commit"]) -> dict[str, float]:
    """Events a second until the last one is committed."""
    count = part.size(150_000 if durability == "batch" else 20_000, 5_000)
    with scratch() as home:
        settings = Settings(home=home, sinks=(), capture=(), durability=durability)
        run = start_run("benchmark", settings=settings)
        began = time.perf_counter()
        for step in range(count):
            run.log(dict.fromkeys(names, 0.5 * step), step)
        run.finish(timeout=120.0)
        seconds = time.perf_counter() - began
        size = (run.directory / FILE_NAME).stat().st_size
    return {
        "events_per_second": round(count / seconds),
        "points_per_second": round(count * len(names) / seconds),
        "bytes_an_event": round(size / count),
    }


def curve(part: Part) -> dict[str, float]:
    """Points a second of ``log_curve``, 10,000 a call."""
    import numpy as np

    calls, length = part.size(30, 3), 10_000
    with scratch() as home:
        run = start_run("benchmark", settings=Settings(home=home, sinks=(), capture=()))
        began = time.perf_counter()
        for call in range(calls):
            steps = np.arange(call * length, (call + 1) * length)
            run.log_curve("curve", steps, np.sin(steps / 1_000))
        run.finish(timeout=120.0)
        seconds = time.perf_counter() - began
    return {"points_per_second": round(calls * length / seconds)}


def saturated(part: Part, overflow: Literal["wait", "thin"]) -> dict[str, Any]:
    """Log as fast as Python can into a small queue; what was kept, what the calls cost."""
    with scratch() as home:
        settings = Settings(home=home, sinks=(), capture=(), overflow=overflow, queue_bytes=SMALL_QUEUE)
        run = start_run("benchmark", settings=settings)
        durations: list[float] = []
        step, metrics = 0, dict.fromkeys(NAMES, 0.5)
        end = time.perf_counter() + part.size(8, 2)
        while (began := time.perf_counter()) < end:
            run.log(metrics, step)
            durations.append(time.perf_counter() - began)
            step += 1
        run.finish(timeout=120.0)
        with JournalReader(run.directory / FILE_NAME) as journal:
            kept = sum(event.kind == "metrics" for event in journal.all())
    return {
        "logged": step,
        "kept": kept,
        "logged_per_second": round(step / sum(durations)),
        "kept_percent": round(100 * kept / step, 2),
        **quantiles(durations),
    }


def main() -> None:
    """Measure, keep and print."""
    part = Part("capacity", __doc__)
    one = part.measure("one metric an event", lambda: sustained(part, NAMES[:1], "batch"))
    ten = part.measure("ten metrics an event", lambda: sustained(part, NAMES, "batch"))
    commit = part.measure("ten metrics an event, commit", lambda: sustained(part, NAMES, "commit"))
    curves = part.measure("log_curve", lambda: curve(part))
    wait = part.measure("saturated, wait", lambda: saturated(part, "wait"))
    thin = part.measure("saturated, thin", lambda: saturated(part, "thin"))
    table(
        ["sustained", "events/s", "points/s"],
        [
            ["one metric an event", one["events_per_second"], one["points_per_second"]],
            ["ten metrics an event", ten["events_per_second"], ten["points_per_second"]],
            ["ten metrics an event, commit", commit["events_per_second"], commit["points_per_second"]],
            ["log_curve, 10,000 points a call", "", curves["points_per_second"]],
        ],
    )
    keys = ("logged", "kept", "kept_percent", "logged_per_second", "median_us", "p99_us", "max_us")
    table(
        ["a loop that only logs, 4 MB queue", *keys], [["wait", *map(wait.get, keys)], ["thin", *map(thin.get, keys)]]
    )


if __name__ == "__main__":
    main()
