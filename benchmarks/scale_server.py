"""An MLflow server on PostgreSQL, couriers that deliver to it, and what processor time each of them takes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy
from harness import PEERS, environment, scratch

from touchline.testing.mlflow_server import mlflow_process, postgresql

METRICS = 10
"""Of each run, in one call."""


class Server:
    """An MLflow server, its PostgreSQL, and couriers that are asked to deliver."""

    def __init__(self, url: str, database: str, couriers: list[subprocess.Popen[str]]) -> None:
        self.url = url
        self.engine = sqlalchemy.create_engine(database)
        self._couriers = couriers

    def deliver(self, couriers: int | None = None, **order: Any) -> dict[str, Any]:
        """Have so many couriers, or all, carry out an order at once; what came of it."""
        asked = self._couriers[:couriers]
        load, before = os.getloadavg()[0], cpu_seconds()
        for courier in asked:
            assert courier.stdin is not None
            courier.stdin.write(json.dumps(order) + "\n")
            courier.stdin.flush()
        answers = [answer(courier) for courier in asked]
        used = {kind: seconds - before.get(kind, 0.0) for kind, seconds in cpu_seconds().items()}
        took = [seconds for told in answers for seconds in told["deliveries"]]
        seconds = max(told["seconds"] for told in answers)
        values = METRICS * sum(told["events"] for told in answers)
        figures = {
            "values": values,
            "requests": len(took),
            "values_per_second": round(values / seconds),
            "requests_per_second": round(len(took) / seconds, 1),
            "values_a_request": round(values / len(took), 1),
            "request_median_ms": round(1e3 * float(np.median(took)), 1),
            "request_p99_ms": round(1e3 * float(np.percentile(took, 99)), 1),
            "cpu_ms_a_request": {kind: round(1e3 * used[kind] / len(took), 2) for kind in sorted(used)},
            "cores_used": round(sum(used.values()) / seconds, 2),
            "load": round(load, 1),
        }
        ages = sorted(age for told in answers for age in told.get("ages", ()))
        if "failures" in answers[0]:
            figures["failures"] = [text for told in answers for text in told["failures"]]
        if ages:
            late = [age for at, age in ages if at > seconds / 2]
            figures["age_second_half_s"] = {
                "median": round(float(np.median(late)), 2),
                "p99": round(float(np.percentile(late, 99)), 2),
            }
        return figures

    def ask(self, query: str) -> Any:
        """One number out of the database."""
        with self.engine.connect() as connection:
            return connection.execute(sqlalchemy.text(query)).scalar()


def dismiss(courier: subprocess.Popen[str]) -> None:
    """Let a courier end, or in the middle of an order be ended."""
    assert courier.stdin is not None
    with contextlib.suppress(OSError):
        courier.stdin.close()
    try:
        courier.wait(10.0)
    except subprocess.TimeoutExpired:
        courier.kill()
        courier.wait()


def answer(process: subprocess.Popen[str]) -> Any:
    """The next JSON line of a courier."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"A courier ended with {process.wait()}.")
    return json.loads(line)


@contextlib.contextmanager
def server(
    couriers: int,
    runs: int,
    *,
    workers: int = 2,
    postgres: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
    login: Mapping[str, str] | None = None,
    store: Path | None = None,
) -> Iterator[Server]:
    """Serve with PostgreSQL's own settings, or others; ``runs`` are shared out among the couriers, and open."""
    variables = dict(variables or {})
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(scratch())
        database = stack.enter_context(postgresql(store, postgres or {}))
        if "auth.ini" in variables:  # its text, which names the database
            (directory / "auth.ini").write_text(variables.pop("auth.ini").format(database=database))
            variables["MLFLOW_AUTH_CONFIG_PATH"] = str(directory / "auth.ini")
        told = ["--workers", str(workers), "--backend-store-uri", database]
        told += ["--artifacts-destination", str(directory / "artifacts"), *arguments]
        url = stack.enter_context(mlflow_process(directory, told, variables))
        command = [sys.executable, str(PEERS / "mlflow_courier.py"), url]
        processes = []
        for place in range(couriers):
            share = runs // couriers
            process = subprocess.Popen(
                [*command, f"courier-{place}", str(share)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment(**(login or {})),
            )
            stack.callback(dismiss, process)
            processes.append(process)
        for process in processes:
            answer(process)
        yield Server(url, database, processes)


def cpu_seconds() -> dict[str, float]:
    """CPU seconds so far of the MLflow server, of PostgreSQL and of the couriers, their children included."""
    kinds = {"mlflow_courier.py": "courier", "mlflow": "server", "postgres": "postgresql"}
    sums: dict[str, float] = {}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            kind = next((kind for text, kind in kinds.items() if text in command), "other")
            sums[kind] = sums.get(kind, 0.0) + sum(child.cpu_times()[:4])  # its own and of children that ended
            for below in child.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    sums[kind] += sum(below.cpu_times()[:2])
    return {kind: sums.get(kind, 0.0) for kind in kinds.values()}
