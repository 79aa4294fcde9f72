"""Delivery: 20,000 metrics to a warm MLflow beside bare calls, and a million points to MLflow and W&B's stand-in.

Goals: at most 1.3 times the time of bare ``log_batch`` (``log_metric`` per key: about 35 times); linear time; a
courier's memory at most 80 MB above its SDK's import. Usage: python benchmarks/tracking_deliver.py [--quick]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness import CourierWatch, Part, environment, scratch, stand_in, table

from touchline.config import Settings
from touchline.tracking.delivery import read_cursor
from touchline.tracking.mlflow_store import connect, ensure_experiment
from touchline.tracking.start import start_run

NAMES = [f"train/metric_{place}" for place in range(10)]
STEPS = 2_000
PER_KEY_STEPS = 40
"""Steps that are really logged key by key; the rest of 2,000 is reckoned from them."""
LONGEST_SECONDS = 420.0
IMPORTS = {
    "mlflow": "import touchline.tracking.courier, mlflow; from mlflow.tracking import MlflowClient",
    "wandb": "import touchline.tracking.courier, wandb",
}


def ours(settings: Settings) -> float:
    """Seconds from ``start_run`` to a ``finish`` that found everything delivered."""
    began = time.perf_counter()
    run = start_run("benchmark", settings=settings)
    for step in range(STEPS):
        run.log(dict.fromkeys(NAMES, float(step)), step)
    delivery = run.finish(timeout=120.0)
    seconds = time.perf_counter() - began
    if not delivery.complete:
        raise RuntimeError(f"MLflow lacks something: {delivery.sentences()}")
    return seconds


def bare_batch(client: Any, experiment: str) -> float:
    """Seconds for the same numbers by ``log_batch``, 1,000 a call, with the run's creation and end."""
    from mlflow.entities import Metric

    began = time.perf_counter()
    run = client.create_run(experiment).info.run_id
    for first in range(0, STEPS, 100):
        moment = int(time.time() * 1e3)
        metrics = [Metric(name, float(step), moment, step) for step in range(first, first + 100) for name in NAMES]
        client.log_batch(run, metrics=metrics)
    client.set_terminated(run)
    return time.perf_counter() - began


def per_key(client: Any, experiment: str) -> float:
    """Seconds for 2,000 steps by ``log_metric``, reckoned from PER_KEY_STEPS."""
    run = client.create_run(experiment).info.run_id
    began = time.perf_counter()
    for step in range(PER_KEY_STEPS):
        for name in NAMES:
            client.log_metric(run, name, float(step), step=step)
    seconds = time.perf_counter() - began
    client.set_terminated(run)
    return seconds / PER_KEY_STEPS * STEPS


def twenty_thousand(part: Part) -> dict[str, Any]:
    """The three ways in turns, on one store; the first turn warms everything up and does not count."""
    with scratch() as home:
        settings = Settings(home=home, sinks=("mlflow",), capture=())
        client = connect(settings)
        experiment = ensure_experiment(client, settings, settings.project)
        # An open run keeps the courier, which leaves 3 s after the last one ended.
        keeper = start_run("keeper", settings=settings)
        seconds: dict[str, list[float]] = {"ours": [], "log_batch": [], "log_metric per key": []}
        for number in range(part.size(5, 2) + 1):
            turn = {
                "ours": ours(settings),
                "log_batch": bare_batch(client, experiment),
                "log_metric per key": per_key(client, experiment),
            }
            if number:
                for way, took in turn.items():
                    seconds[way].append(round(took, 3))
        keeper.finish(timeout=0.0)
    medians = {way: statistics.median(took) for way, took in seconds.items()}
    ratios = {way: round(took / medians["log_batch"], 2) for way, took in medians.items()}
    return {"seconds": seconds, "medians": medians, "ratios_to_log_batch": ratios}


def imported_mb(sink: str) -> float:
    """Resident MB of a process that has imported what a courier imports, and nothing more."""
    code = f"{IMPORTS[sink]}\nimport psutil\nprint(psutil.Process().memory_info().rss / 1e6)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    return float(done.stdout.split()[-1])


def many_points(part: Part, sink: str, metrics: int) -> dict[str, Any]:
    """Log a million points at once, ``metrics`` a call; when an eighth, a quarter, half and all had arrived."""
    points = part.size(1_000_000, 40_000)
    if sink == "wandb" and metrics == 1:
        points = part.size(100_000, 5_000)  # the SDK takes some 0.5 ms a row: a million would be ten minutes
    events = points // metrics
    with scratch() as home, stand_in() as server:
        settings = Settings(home=home, sinks=(sink,), wandb_base_url=server.url, capture=())
        os.environ["WANDB_API_KEY"] = server.key
        watch = CourierWatch(home)
        run = start_run("benchmark", settings=settings)
        run.wait_delivered(sink, 60.0)  # the SDK's import and the run's opening are not what is measured
        began = time.perf_counter()
        for step in range(events):
            run.log(dict.fromkeys(NAMES[:metrics], float(step)), step)
        run.finish(timeout=0.0)
        logged = time.perf_counter() - began
        marks: dict[str, float] = {}
        while len(marks) < 4 and time.perf_counter() - began < LONGEST_SECONDS:
            watch.look()
            cursor = read_cursor(run.directory, sink)
            for share in (8, 4, 2, 1):
                mark = f"{points // share:,}"
                if mark not in marks and cursor.delivered >= events // share and (share > 1 or cursor.closed):
                    marks[mark] = round(time.perf_counter() - began, 2)
            time.sleep(0.02)
        arrived = server.rows().get(run.id, 0) if sink == "wandb" else stored_in_mlflow(home)
        figures = watch.figures()
    imported = imported_mb(sink)
    wanted = events if sink == "wandb" else points
    return {
        "points": points,
        "logged_seconds": round(logged, 2),
        "seconds_to": marks,
        "arrived": arrived,
        "wanted": wanted,
        "couriers": figures,
        "import_mb": round(imported, 1),
        "above_import_mb": round(figures[sink]["peak_mb"] - imported, 1),
    }


def stored_in_mlflow(home: Path) -> int:
    """Rows of metrics in the home's MLflow store."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


def main() -> None:
    """Measure, keep and print."""
    part = Part("deliver", __doc__)
    small = part.measure("20000 metrics to MLflow", lambda: twenty_thousand(part))
    table(
        ["20,000 metrics to a warm MLflow", "seconds", "ratio to log_batch"],
        [[way, took, small["ratios_to_log_batch"][way]] for way, took in small["medians"].items()],
    )
    rows = []
    for sink in ("mlflow", "wandb"):
        for metrics in (10, 1):
            key = f"{sink}, {metrics} a call"
            found = part.measure(key, partial(many_points, part, sink, metrics))
            helper = found["couriers"].get(f"{sink} helper", {})
            took = list(found["seconds_to"].values()) + ["–"] * (4 - len(found["seconds_to"]))
            rows.append(
                [
                    f"{found['points']:,} points to {key}",
                    *took,
                    found["wanted"] - found["arrived"],
                    found["above_import_mb"],
                    round(found["couriers"][sink]["cpu_seconds"] + helper.get("cpu_seconds", 0.0), 1),
                ]
            )
            print(f"{key}: {found['seconds_to']}", flush=True)
    head = ["what", "1/8 s", "1/4 s", "1/2 s", "all s", "missing", "MB above import", "CPU s"]
    table(head, rows)


if __name__ == "__main__":
    main()
