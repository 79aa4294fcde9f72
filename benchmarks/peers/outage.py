"""One training through an outage of the far sides, timed. Prints JSON; what was not reached in time is missing.

Usage: outage.py WHO MLFLOW_URI WANDB_URL DIRECTORY, where WHO is touchline, wandb or mlflow. Each figure is printed
when it is known, so that a caller who runs out of patience has those before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = 300
FINISHES = {"finish": None, "finish, 5 s": 5.0, "finish, 0 s": 0.0}
"""Ways to end a run: the default time-out and two of one's own."""


def told(name: str, what: Callable[[], Any]) -> Any:
    """Do it and print how long it took; an exception is told and ends the training."""
    began = time.perf_counter()
    try:
        result = what()
    except BaseException as error:
        print(json.dumps({name: time.perf_counter() - began, f"{name} raised": repr(error)[:200]}), flush=True)
        raise SystemExit(0) from error
    print(json.dumps({name: time.perf_counter() - began}), flush=True)
    return result


def loop(log: Callable[[int], object]) -> None:
    """Log 300 steps, 5 ms apart; the slowest call and the exceptions."""
    slowest, exceptions = 0.0, 0
    for step in range(STEPS):
        began = time.perf_counter()
        try:
            log(step)
        except Exception:
            exceptions += 1
        slowest = max(slowest, time.perf_counter() - began)
        time.sleep(0.005)
    print(json.dumps({"slowest log": slowest, "exceptions": exceptions}), flush=True)


def touchline(mlflow_uri: str, wandb_url: str, directory: Path) -> None:
    """Ours, three runs in a row that differ in how they finish; or one whose far sides go away in its middle."""
    from touchline.config import Settings
    from touchline.tracking.start import start_run

    os.environ["WANDB_API_KEY"] = "0123456789abcdef0123456789abcdef01234567"
    settings = Settings(
        home=directory, sinks=("mlflow", "wandb"), mlflow_tracking_uri=mlflow_uri, wandb_base_url=wandb_url
    )
    if (directory / "midway").exists():
        run = told("start", lambda: start_run("benchmark", settings=settings))
        run.log({"loss": 0.0}, 0)
        if not all(run.wait_delivered(sink, 60.0) for sink in settings.sinks):
            raise RuntimeError("The far sides took nothing before the outage.")
        (directory / "midway").unlink()  # asks for the outage
        while not (directory / "out").exists():
            time.sleep(0.01)
        loop(lambda step: run.log({"loss": float(step)}, step + 1))
        told("finish", run.finish)
        return
    for name, timeout in FINISHES.items():
        run = told("start", lambda: start_run("benchmark", settings=settings))
        loop(lambda step: run.log({"loss": float(step)}, step))  # noqa: B023
        bound = {} if timeout is None else {"timeout": timeout}
        told(name, lambda: run.finish(**bound))  # noqa: B023


def wandb(mlflow_uri: str, wandb_url: str, directory: Path) -> None:
    """The SDK with its defaults."""
    os.environ.update(WANDB_API_KEY="0123456789abcdef0123456789abcdef01234567", WANDB_BASE_URL=wandb_url)
    import wandb as library

    run = told("start", lambda: library.init(project="benchmark", dir=str(directory)))
    loop(lambda step: run.log({"loss": float(step)}, step=step))
    told("finish", run.finish)


def mlflow(mlflow_uri: str, wandb_url: str, directory: Path) -> None:
    """MLflow with its defaults."""
    import mlflow as library

    def start() -> None:
        library.set_tracking_uri(mlflow_uri)
        library.set_experiment("benchmark")
        library.start_run()

    told("start", start)
    loop(lambda step: library.log_metric("loss", float(step), step=step))
    told("finish", library.end_run)


if __name__ == "__main__":
    {"touchline": touchline, "wandb": wandb, "mlflow": mlflow}[sys.argv[1]](*sys.argv[2:4], Path(sys.argv[4]))
