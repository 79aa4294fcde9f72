"""64 journals written at once by 8 processes, delivered to one home's MLflow and W&B's stand-in.

Goals: no lock error, no lost point, bounded memory. What arrived is read back from both far sides.
Usage: python benchmarks/tracking_many.py [--quick]
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import PEERS, CourierWatch, Part, environment, scratch, stand_in, table

from touchline.config import Settings
from touchline.tracking.delivery import read_cursor
from touchline.tracking.sync import sync

METRICS = 5
_LOCK_ERROR = re.compile(r"database is locked|SQLITE_BUSY", re.IGNORECASE)


def many(part: Part) -> dict[str, Any]:
    """Write and deliver; every figure."""
    processes, runs = part.size(8, 2), part.size(8, 3)
    events, hertz = part.size(400, 50), 50
    with scratch() as home, stand_in() as server:
        os.environ["WANDB_API_KEY"] = server.key
        watch = CourierWatch(home)
        command = [sys.executable, str(PEERS / "many_runs.py"), home, server.url, runs, events, hertz]
        began = time.perf_counter()
        trainers = [
            subprocess.Popen(
                [str(part) for part in command],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(WANDB_API_KEY=server.key),
            )
            for _ in range(processes)
        ]
        while any(trainer.poll() is None for trainer in trainers):
            watch.look()
            time.sleep(0.1)
        written = time.perf_counter() - began
        told = [trainer.communicate() for trainer in trainers]
        answers = [json.loads(out.splitlines()[-1]) for out, _ in told]
        names = [name for answer in answers for name in answer["runs"]]
        deadline = time.monotonic() + 300.0
        while time.monotonic() < deadline and not all(is_closed(home, name) for name in names):
            watch.look()
            time.sleep(0.2)
        delivered = time.perf_counter() - began
        settings = Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=server.url)
        report = sync(settings, timeout=60.0)
        in_mlflow, in_wandb = points_in_mlflow(home), server.ask({"ask": "points"})
        logs = "".join(path.read_text() for path in (home / "couriers").glob("*.log"))
        figures = watch.figures()
    wanted = events * METRICS
    return {
        "runs": len(names),
        "points": wanted * len(names),
        "written_seconds": round(written, 1),
        "delivered_seconds": round(delivered, 1),
        "sync_complete": report.complete,
        "missing_in_mlflow": sum(wanted - in_mlflow.get(name, 0) for name in names),
        "missing_in_wandb": sum(wanted - in_wandb.get(name, 0) for name in names),
        "lock_errors": len(_LOCK_ERROR.findall(logs + "".join(errors for _, errors in told))),
        "complaints": sorted({text for answer in answers for text in answer["complaints"]})[:20],
        "trainer_peak_mb": max(answer["mb"] for answer in answers),
        "couriers": figures,
    }


def is_closed(home: Path, name: str) -> bool:
    """True when both far sides have all of the run and know its end."""
    return all(read_cursor(home / "runs" / name, sink).closed for sink in ("mlflow", "wandb"))


def points_in_mlflow(home: Path) -> dict[str, int]:
    """Points of each run in the MLflow store, by Touchline's id."""
    query = (
        "SELECT tags.value, count(*) FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid "
        "WHERE tags.key = 'touchline.run_id' AND metrics.key LIKE 'train/%' GROUP BY tags.value"
    )
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return dict(connection.execute(query).fetchall())


def main() -> None:
    """Measure, keep and print."""
    part = Part("many", __doc__)
    found = part.measure("many", lambda: many(part))
    rows = [[key, value] for key, value in found.items() if key not in ("couriers", "complaints")]
    for sink, figures in found["couriers"].items():
        rows += [[f"{sink}: peak MB", figures["peak_mb"]], [f"{sink}: CPU s", figures["cpu_seconds"]]]
    table(["64 journals at once", ""], rows)
    for complaint in found["complaints"]:
        print(complaint)


if __name__ == "__main__":
    main()
