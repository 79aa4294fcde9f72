"""How fast old runs are brought in: values a second, from a real source to a journal, and counted again.

Usage: .venv/bin/python benchmarks/migration.py [--quick] [--fresh]. The sources are made by the real W&B, MLflow and
torch; delivery, which the couriers do at their own pace, is left out (``tracking.py`` measures it). Exits with 1 when
an import has not the counts of its source.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from harness import Part, environment, scratch, table

WANDB = """
import sys, wandb
run = wandb.init(project="speed", id="speed")
for step in range(int(sys.argv[1])):
    run.log({f"metric/{name}": step / (name + 1) for name in range(10)})
run.finish()
"""
MLFLOW = """
import sys, mlflow
from mlflow.entities import Metric
mlflow.set_tracking_uri("sqlite:///old.db")
with mlflow.start_run() as run:
    for first in range(0, int(sys.argv[1]), 100):
        rows = range(first, first + 100)
        metrics = [Metric(f"metric/{n}", s / (n + 1), 1_700_000_000_000 + s, s) for s in rows for n in range(10)]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics)
"""
TENSORBOARD = """
import sys
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter("events") as writer:
    for step in range(int(sys.argv[1])):
        for name in range(10):
            writer.add_scalar(f"metric/{name}", step / (name + 1), step)
"""
SOURCES = {
    "wandb": (WANDB, "wandb"),
    "mlflow": (MLFLOW, "sqlite:///old.db"),
    "tensorboard": (TENSORBOARD, "events"),
}


def measure(track: str, steps: int) -> dict[str, float]:
    """Seconds of an import into an empty home, of the same again, and how many values there are."""
    script, place = SOURCES[track]
    with scratch() as folder:
        surroundings = environment(TOUCHLINE_HOME=str(folder / "home"), TOUCHLINE_SINKS="", WANDB_MODE="offline")

        def call(*command: str) -> tuple[float, str]:
            began = time.monotonic()
            done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(
                    f"{track}: {command[:4]} ended with {done.returncode}\n{done.stdout}{done.stderr[-2000:]}"
                )
            return time.monotonic() - began, done.stdout

        call(sys.executable, "-c", script, str(steps))
        command = [str(Path(sys.executable).with_name("touchline")), "import", track, place]
        first, printed = call(*command)
        again, _ = call(*command)
    found = re.search(r"^values +([\d,]+) +([\d,]+)", printed, re.MULTILINE)
    assert found is not None, printed
    return {"values": int(found[1].replace(",", "")), "import_s": first, "again_s": again, "load": os.getloadavg()[0]}


def main() -> None:
    """Measure each track once and print the table."""
    part = Part("", __doc__, subject="migration")
    steps = part.size(5_000, 500)
    rows = []
    for track in SOURCES:
        if track not in part.results:
            part.results[track] = measure(track, steps)
            part.save()
        one = part.results[track]
        speed = [f"{one['values'] / one[name]:,.0f}" for name in ("import_s", "again_s")]
        rows.append([track, f"{one['values']:,}", f"{one['import_s']:.1f}", *speed, f"{one['load']:.0f}"])
    table(["source", "values", "import, s", "values/s", "counted again, values/s", "load"], rows)


if __name__ == "__main__":
    main()
