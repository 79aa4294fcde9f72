"""Four workers with W&B on: nothing hangs, and each trial is exactly one run on W&B and one on MLflow.

The stand-in for W&B takes what the real SDK sends. Usage: .venv/bin/python benchmarks/tuning_tracks.py [--quick]
[--fresh]. Exits with 1 when a track has another set of runs than the study.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from harness import PEERS, Part, environment, scratch, stand_in, table

from touchline.config import Settings
from touchline.tracking.mlflow_store import connect
from touchline.tracking.sync import sync

PATIENCE_SECONDS = 550.0


def tune(home: Path, url: str, key: str, trials: int) -> dict[str, Any]:
    """Tune with four workers, deliver what is left, and count the runs on each track."""
    command = [sys.executable, "-m", "touchline", "tune", "tuned_hill:climb", "--study", "tracks"]
    command += ["--space", "x=-1:1", "--space", "y=-1:1", "--finalists", "0", "--pruner", "median"]
    command += ["--trials", str(trials), "--workers", "4", "--home", str(home)]
    variables = environment(TOUCHLINE_SINKS="mlflow,wandb", WANDB_BASE_URL=url, WANDB_API_KEY=key)
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=PEERS, env=variables, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    took = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(done.stdout[-1_000:] + done.stderr[-1_000:])
    settings = Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=url)
    deadline = time.monotonic() + PATIENCE_SECONDS
    # On a crowded machine couriers, which leave the processors to everybody else, stand still for minutes.
    while not (delivered := sync(settings, timeout=PATIENCE_SECONDS)).complete and time.monotonic() < deadline:
        pass
    if not delivered.complete:
        raise RuntimeError(f"{'; '.join(map(str, delivered.gaps))} ({took:.0f} s of tuning)")
    study = optuna.load_study(study_name="tracks", storage=f"sqlite:///{home / 'optuna.db'}")
    wanted = [trial.user_attrs["run"] for trial in study.trials] + [study.user_attrs["touchline.run"]["id"]]
    client = connect(settings)
    experiment = client.get_experiment_by_name(settings.project)
    on_mlflow = [run.data.tags["touchline.run_id"] for run in client.search_runs([experiment.experiment_id])]
    return {
        "seconds": took,
        "states": dict(Counter(trial.state.name for trial in study.trials)),
        "mlflow": len(on_mlflow),
        "mlflow_is_right": sorted(on_mlflow) == sorted(wanted),
    }


def measure(trials: int) -> dict[str, Any]:
    """One study against a fresh stand-in."""
    with stand_in() as server, scratch() as directory:
        os.environ["WANDB_API_KEY"] = server.key  # for the couriers that deliver what is left
        found = tune(directory / "home", server.url, server.key, trials)
        rows = server.rows()
        return {**found, "wandb": len(rows), "wandb_is_right": len(rows) == found["mlflow"]}


def main() -> int:
    """Tune, count, judge."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    part = Part("tracks", __doc__, subject="tuning")
    trials = part.size(24, 4)
    found = part.measure(f"{trials} trials", lambda: measure(trials))
    head = ["finished trials", "seconds", "runs on W&B", "runs on MLflow", "one each"]
    is_right = bool(found["mlflow_is_right"] and found["wandb_is_right"])
    row = [trials, found["seconds"], found["wandb"], found["mlflow"], is_right]
    table(head, [row])
    return 0 if is_right and found["mlflow"] == trials + 1 else 1


if __name__ == "__main__":
    sys.exit(main())
