"""Thirty-two workers open one new study at the same moment: on SQLite, on PostgreSQL, and raw Optuna beside it.

Usage: .venv/bin/python benchmarks/tuning_start.py [--quick] [--fresh]. Exits with 1 when one of ours dies.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from harness import PEERS, Part, environment, scratch, table

from touchline.testing.mlflow_server import lack, postgresql


@contextlib.contextmanager
def storage(kind: str) -> Iterator[str]:
    """A new, empty storage."""
    if kind == "postgresql":
        with postgresql() as url:
            yield url
    else:
        with scratch() as directory:
            yield f"sqlite:///{directory / 'optuna.db'}"


def start(who: str, kind: str, workers: int) -> dict[str, Any]:
    """Let ``workers`` processes that have imported everything go at once."""
    with storage(kind) as url:
        processes = [
            subprocess.Popen(
                [sys.executable, str(PEERS / "tuning_start.py"), who, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
            )
            for _ in range(workers)
        ]
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        told = [process.communicate(timeout=300) for process in processes]
    survived = [float(out) for (out, _), process in zip(told, processes, strict=True) if process.returncode == 0]
    deaths = [error.strip().splitlines()[-1][:120] for _, error in told if error.strip()]
    return {"survived": len(survived), "slowest_seconds": max(survived, default=None), "deaths": sorted(set(deaths))}


def main() -> int:
    """Start, count the living."""
    part = Part("start", __doc__, subject="tuning")
    workers, rounds = part.size(32, 8), part.size(3, 1)
    kinds = ["sqlite", "postgresql"]
    if told := lack():
        print(f"PostgreSQL is left out: {told}")
        kinds.pop()
    rows, is_well = [], True
    for kind in kinds:
        for who in ("touchline", "optuna"):
            found = [
                part.measure(f"{who}/{kind}/{number}", lambda who=who, kind=kind: start(who, kind, workers))
                for number in range(rounds)
            ]
            survived = [one["survived"] for one in found]
            slowest = statistics.median([one["slowest_seconds"] or float("nan") for one in found])
            rows.append([kind, who, f"{', '.join(map(str, survived))} of {workers}", round(slowest, 1)])
            is_well &= who == "optuna" or min(survived) == workers
    table(["storage", "workers of", "survived", "slowest, s"], rows)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
