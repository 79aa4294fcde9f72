"""What tracking costs the loop: run.log() tight and paced, start_run, journal capacity, delivery to MLflow.

Usage: python benchmarks/tracking.py; writes results/tracking.json. MLflow's own log_batch is the peer of delivery.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from touchline.config import Settings
from touchline.tracking.mlflow_store import connect, ensure_experiment
from touchline.tracking.run import Run
from touchline.tracking.start import start_run

RESULTS = Path(__file__).parent / "results" / "tracking.json"
NAMES = [f"train/metric_{i}" for i in range(10)]


def quantiles(durations: list[float]) -> dict[str, float]:
    """Return median and 99th percentile in microseconds."""
    ordered = sorted(durations)
    return {
        "median_us": round(statistics.median(ordered) * 1e6, 2),
        "p99_us": round(ordered[int(0.99 * len(ordered))] * 1e6, 2),
    }


def log_cost(run: Run, value: Callable[[int], Any], calls: int, pause: float = 0.0) -> dict[str, float]:
    """Time ``run.log`` of ten metrics."""
    durations = []
    for step in range(calls):
        metrics = {name: value(step) for name in NAMES}
        began = time.perf_counter()
        run.log(metrics, step)
        durations.append(time.perf_counter() - began)
        if pause:
            time.sleep(pause)
    return quantiles(durations)


def local_run(home: Path) -> Run:
    """Open a run without sinks, so that only the loop and the journal are measured."""
    return start_run("benchmark", settings=Settings(home=home, sinks=()))


def capacity(home: Path, events: int = 100_000) -> float:
    """Return the events of ten metrics that the journal takes a second, until the last is committed."""
    run = local_run(home)
    began = time.perf_counter()
    for step in range(events):
        run.log(dict.fromkeys(NAMES, float(step)), step)
    run.finish(timeout=120)
    return events / (time.perf_counter() - began)


def start_cost(home: Path) -> list[float]:
    """Return the milliseconds of ``start_run`` with three sinks: first, and the median of the next ten."""
    settings = Settings(home=home, sinks=("mlflow", "wandb", "tensorboard"))
    durations = []
    for _ in range(11):
        began = time.perf_counter()
        run = start_run("benchmark", settings=settings)
        durations.append((time.perf_counter() - began) * 1e3)
        run.finish(timeout=0)
    run.wait_delivered("mlflow", 120)
    return [round(durations[0], 1), round(statistics.median(durations[1:]), 1)]


def delivery(home: Path, steps: int = 2_000, rounds: int = 3) -> dict[str, float]:
    """Return seconds for 20,000 metrics to reach a warm MLflow: ours, and bare ``log_batch``, alternating."""
    from mlflow.entities import Metric

    settings = Settings(home=home, sinks=("mlflow",))
    client = connect(settings)
    experiment = ensure_experiment(client, settings, settings.project)
    ours, peer = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        run = start_run("benchmark", settings=settings)
        for step in range(steps):
            run.log(dict.fromkeys(NAMES, float(step)), step)
        run.finish(timeout=120)
        ours.append(time.perf_counter() - began)
        bare = client.create_run(experiment).info.run_id
        began = time.perf_counter()
        moment = int(time.time() * 1e3)
        for first in range(0, steps, 100):
            batch = [Metric(name, float(s), moment, s) for s in range(first, first + 100) for name in NAMES]
            client.log_batch(bare, metrics=batch)
        peer.append(time.perf_counter() - began)
    return {
        "ours_s": round(statistics.median(ours), 2),
        "log_batch_s": round(statistics.median(peer), 2),
        "ratio": round(statistics.median(ours) / statistics.median(peer), 2),
    }


def main() -> None:
    """Measure everything, print it and keep it."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        run = local_run(place / "log")
        tensor, array = torch.tensor(0.5), jnp.asarray(0.5)
        measured: dict[str, Any] = {
            "processors": os.cpu_count(),
            "log_10_floats_tight": log_cost(run, float, 20_000),
            "log_10_floats_every_5_ms": log_cost(run, float, 1_000, pause=0.005),
            "log_10_numpy_scalars": log_cost(run, np.float32, 20_000),
            "log_10_torch_scalars": log_cost(run, lambda _: tensor, 5_000),
            "log_10_jax_scalars": log_cost(run, lambda _: array, 5_000),
        }
        run.finish(timeout=60)
        measured["journal_events_per_second"] = round(capacity(place / "capacity"))
        measured["start_run_ms_first_and_later"] = start_cost(place / "start")
        measured["delivery_of_20000_metrics_to_mlflow"] = delivery(place / "delivery")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n")
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
