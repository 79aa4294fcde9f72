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
    told: float = 0.0


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
    hertz, gather, count = order["hertz"], order["gather"], order["threads"]
    first = [run.step for run in runs]
    took: list[float] = []
    ages: list[tuple[float, float]] = []
    failures: list[str] = []
    began = time.perf_counter()

    def turn(share: range) -> bool:
        moved = False
        for place in share:
            run, now = runs[place], time.perf_counter() - began
            apart = place / len(runs)  # they do not log all at once
            due = first[place] + int(now * hertz + apart)
            if due == run.step or now - run.told < gather:
                continue
            run.told = now
            oldest = (run.step - first[place] + 1 - apart) / hertz
            took.append(deliver(run, min(due - run.step, 1_000)))
            now = time.perf_counter() - began
            ages.append((now, now - oldest))
            moved = True
        return moved

    def serve(share: range) -> None:
        try:
            while (turned := time.perf_counter()) < began + order["seconds"]:
                moved = turn(share)
                # What courier.py does: three times as long as it worked, at most half a second.
                time.sleep(min(3.0 * (time.perf_counter() - turned), 0.5) if moved else 0.2)
        except Exception as error:
            failures.append(str(error)[:300])

    for place, run in enumerate(runs):
        run.told = -gather * place / len(runs)  # nor begin all at once
    threads = [threading.Thread(target=serve, args=(range(at, len(runs), count),)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    sent = sum(run.step for run in runs) - sum(first)
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
