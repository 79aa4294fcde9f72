"""Every logger behind one interface, so that each can be timed or killed in a process of its own.

Runs in Touchline's environment or in the peers'; imports only the logger that is asked for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Log = Callable[[Mapping[str, Any], int], None]
BATCH = 1_000
"""Metrics of one bare ``log_batch`` call, MLflow's limit."""


@dataclass(frozen=True)
class Logger:
    """An open run of some logger."""

    log: Log
    finish: Callable[[], None]
    file: Path | None = None
    """Where the points lie afterwards, for ``survivors.py``."""


def touchline(directory: Path, durability: Any) -> Logger:
    """Ours without sinks: what the loop pays is the same with them."""
    from touchline.config import Settings
    from touchline.tracking.start import start_run

    settings = Settings(home=directory, sinks=(), durability=durability, capture=())
    run = start_run("benchmark", settings=settings)
    return Logger(run.log, lambda: _finish(run), run.directory / "journal.db")


def _finish(run: Any) -> None:
    run.finish(timeout=60.0)


def wandb_offline(directory: Path) -> Logger:
    """The wandb SDK, offline; its statistics and console capture off, as ours."""
    import wandb

    quiet = wandb.Settings(x_disable_stats=True, console="off", disable_git=True, silent=True)
    run = wandb.init(project="benchmark", mode="offline", dir=str(directory), settings=quiet)
    file = next(Path(run.dir).parent.glob("*.wandb"), None) or Path(run.dir).parent / f"run-{run.id}.wandb"
    return Logger(lambda metrics, step: run.log(dict(metrics), step=step), run.finish, file)


def mlflow(directory: Path, way: str) -> Logger:
    """MLflow on its default SQLite store, in one of its four ways."""
    os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "true" if way == "async" else "false"
    import mlflow as library
    from mlflow.entities import Metric

    file = directory / "mlflow.db"
    library.set_tracking_uri(f"sqlite:///{file}")
    library.set_experiment("benchmark")
    run = library.start_run()
    client = library.MlflowClient()
    pending: list[Metric] = []

    def log_metrics(metrics: Mapping[str, Any], step: int) -> None:
        library.log_metrics(dict(metrics), step=step, synchronous=way == "sync")

    def log_metric(metrics: Mapping[str, Any], step: int) -> None:
        for name, value in metrics.items():
            library.log_metric(name, value, step=step)

    def log_batch(metrics: Mapping[str, Any], step: int) -> None:
        moment = int(time.time() * 1_000)
        pending.extend(Metric(name, value, moment, step) for name, value in metrics.items())
        if len(pending) >= BATCH:
            send()

    def send() -> None:
        client.log_batch(run.info.run_id, metrics=pending)
        pending.clear()

    def finish() -> None:
        if pending:
            send()
        library.flush_async_logging()
        library.end_run()

    ways: dict[str, Log] = {"sync": log_metrics, "async": log_metrics, "key": log_metric, "batch": log_batch}
    return Logger(ways[way], finish, file)


def tensorboard(directory: Path) -> Logger:
    """PyTorch's writer of TensorBoard event files."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(directory))

    def log(metrics: Mapping[str, Any], step: int) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    return Logger(log, writer.close)


def trackio(directory: Path) -> Logger:
    """Trackio without a Space."""
    os.environ["TRACKIO_DIR"] = str(directory)
    import trackio as library

    library.init(project="benchmark", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return Logger(library.log, library.finish, directory / "benchmark.db")


def neptune(directory: Path) -> Logger:
    """neptune-scale, offline."""
    from neptune_scale import Run

    run = Run(
        run_id="run",
        project="benchmark/benchmark",
        api_token="none",
        mode="offline",
        log_directory=str(directory),
        enable_console_log_capture=False,
    )
    file = next(directory.rglob("*.sqlite3"), None)
    return Logger(lambda metrics, step: run.log_metrics(dict(metrics), step=step), run.close, file)


LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "touchline": lambda directory: touchline(directory, "batch"),
    "touchline commit": lambda directory: touchline(directory, "commit"),
    "trackio": trackio,
    "wandb offline": wandb_offline,
    "neptune-scale offline": neptune,
    "TensorBoard": tensorboard,
    "MLflow async": lambda directory: mlflow(directory, "async"),
    "MLflow log_metrics": lambda directory: mlflow(directory, "sync"),
    "MLflow log_metric per key": lambda directory: mlflow(directory, "key"),
    "MLflow log_batch": lambda directory: mlflow(directory, "batch"),
}
NEEDS_PEERS = ("trackio", "neptune-scale offline")


def open_logger(name: str, directory: Path) -> Logger:
    """Open the logger called ``name`` in a directory of its own; what it prints goes to standard error."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        return LOGGERS[name](directory)
    finally:
        sys.stdout = out
