"""What a courier says to an MLflow server, for runs that exist only here: flat out, or as their values come due.

The sink, its sessions and its batches are those of a real courier; journals are not read. An order is a JSON line on
standard input: ``events`` of ten metrics a delivery, for ``seconds`` or so many ``rounds`` through all runs, from
``step`` on; or ``hertz`` at which the first ``runs`` log for ``seconds``, delivered by ``threads``, to a run at most
once in ``gather`` seconds. The answer is a JSON line.

Usage: mlflow_courier.py URI NAME RUNS
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.sinks.base import RunInfo, Session
from touchline.tracking.sinks.mlflow import MlflowSink

NAMES = tuple(f"train/metric_{place}" for place in range(10))
BEGAN = 1_800_000_000.0
"""When the simulated hour begins, in seconds since the epoch: step s was logged s seconds later."""


@dataclass
class Fed:
    """A run and what was sent of it."""

    session: Session
    step: int = 0
    told: float = -math.inf


def events(step: int, count: int) -> list[Event]:
    """So many events from a step on."""
    return [
        Event(
            at + 1,
            "metrics",
            at,
            BEGAN + at,
            {name: math.sin(at / (7.0 + place)) for place, name in enumerate(NAMES)},
        )
        for at in range(step, step + count)
    ]


def deliver(run: Fed, count: int) -> float:
    """Send the next ``count`` events; seconds that it took."""
    told = events(run.step, count)
    began = time.perf_counter()
    refused = run.session.send(told)
    if refused:
        raise RuntimeError(refused[0].reason)
    run.step += count
    return time.perf_counter() - began


def flat_out(runs: list[Fed], order: dict[str, Any]) -> dict[str, Any]:
    """Deliver to one run after the other, as fast as the server answers."""
    for run in runs:
        run.step = order.get("step", run.step)
    took = []
    began = time.perf_counter()
    for run in turns(runs, order, began):
        took.append(deliver(run, order["events"]))
    return {"seconds": time.perf_counter() - began, "deliveries": took, "events": order["events"] * len(took)}


def turns(runs: list[Fed], order: dict[str, Any], began: float) -> Iterator[Fed]:
    """The runs again and again, until the order is done."""
    done = 0
    while done < order.get("rounds", math.inf):
        for run in runs:
            if time.perf_counter() - began > order.get("seconds", math.inf):
                return
            yield run
        done += 1


def paced(runs: list[Fed], order: dict[str, Any]) -> dict[str, Any]:
    """Deliver what each run has logged since the last time; a thread serves its share as a courier serves a home."""
    hertz, end = order["hertz"], time.perf_counter() + order["seconds"]
    began = time.perf_counter()
    took: list[float] = []
    ages: list[tuple[float, float]] = []
    before = {id(run): run.step for run in runs}
    failures: list[str] = []

    def serve(mine: list[Fed], phase: float) -> None:
        try:
            while time.perf_counter() < end:
                turn = time.perf_counter()
                moved = False
                for place, run in enumerate(mine):
                    now = time.perf_counter()
                    first = before[id(run)]
                    due = first + int((now - began) * hertz + (phase + place / len(mine)) % 1.0)
                    if due > run.step and now - run.told >= order.get("gather", 0.0):
                        run.told = now
                        logged = began + (run.step - first) / hertz
                        took.append(deliver(run, min(due - run.step, 1_000)))
                        ages.append((time.perf_counter() - began, time.perf_counter() - logged))
                        moved = True
                # What courier.py does: three times as long as it worked, at most half a second.
                time.sleep(min(3.0 * (time.perf_counter() - turn), 0.5) if moved else 0.2)
        except Exception as error:
            failures.append(str(error)[:300])

    count = order["threads"]
    threads = [threading.Thread(target=serve, args=(runs[at::count], at / count)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = sum(run.step - before[id(run)] for run in runs)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "deliveries": took, "ages": ages, "events": sent, "failures": failures}


def main() -> None:
    """Open the runs, then carry out orders."""
    uri, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="touchline-scale-") as home:
        settings = Settings(home=Path(home), mlflow_tracking_uri=uri, project="scale", sinks=("mlflow",))
        sink = MlflowSink(settings)
        runs = []
        for place in range(count):
            directory = settings.runs / f"{name}-{place}"
            directory.mkdir(parents=True)
            info = RunInfo(directory.name, "scale", directory.name, "scale", directory, BEGAN)
            runs.append(Fed(sink.open(info, delivered=0, sent=0)))
        print(json.dumps({"runs": len(runs)}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            told = paced(runs[: order["runs"]], order) if "hertz" in order else flat_out(runs, order)
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
