"""What an integration adds to somebody's training (goal: ≤ 1 %), by short trainings with and without it, in turn.

Usage: .venv/bin/python benchmarks/integrations.py [--quick] [--fresh] [--only NAME]. Exits with 1 where one surely
adds more than the goal.

A shared machine is half as fast again from one minute to the next, so that two processes cannot be compared to 1 %.
Trainings of a tenth of a second to seconds alternate in one process instead, and each is compared with its
neighbour. All figures are shares of the wall time of a training without Touchline. *Loop* is the processor time that
is added to the thread that trains: the median over pairs of the difference, with the bootstrap's 95 % interval.
*Waited* is the same of wall time: it holds whatever the loop waits for too, and the machine's noise. *Threads* is
the processor time of Touchline's threads (the journal's writer, the watch, checkpoints), which work while either kind
of training runs: what is added where no processor is idle. The goal is judged by loop and threads together. Couriers
are processes of their own, and deliver after the training.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from harness import Part, child, table

GOAL = 0.01
WORK = {
    # name → size of one training in the unit of the integration, pairs, pairs of a quick round
    "gymnasium": (1_600, 400, 4),
    "stable_baselines3": (2_048, 30, 1),
    "sbx": (400, 15, 1),
    "tensorboard": (200, 150, 4),
    "lightning": (500, 60, 1),
    "accelerate": (300, 200, 4),
    "pytorch": (300, 200, 4),
    "jax": (500, 200, 4),
    "optuna": (5, 60, 1),
    "brax": (100_000, 10, 1),
}


def added(taken: dict[str, Any]) -> dict[str, float]:
    """Shares of a training's time that recording adds."""
    bare, recorded = (np.array(taken[which]) for which in ("bare", "recorded"))
    worked = np.array(taken["recorded/processor"]) - np.array(taken["bare/processor"])
    loop, low, high = _median(worked / np.median(bare))
    waited, least, most = _median(recorded / bare - 1)
    threads = taken["threads"] / (bare.sum() + recorded.sum())
    return {
        "loop": loop,
        "low": low,
        "high": high,
        "waited": waited,
        "waited_low": least,
        "waited_high": most,
        "threads": float(threads),
    }


def _median(values: np.ndarray) -> tuple[float, float, float]:
    drawn = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    low, high = np.quantile(np.median(values[drawn], axis=1), (0.025, 0.975))
    return float(np.median(values)), float(low), float(high)


def verdict(found: dict[str, float]) -> str:
    """What the interval says of the goal, threads included."""
    if found["high"] + found["threads"] <= GOAL:
        return "reached"
    return "missed" if found["low"] + found["threads"] > GOAL else "open"


def main() -> int:
    """Measure, print the table, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=WORK, help="this integration alone")
    part = Part("", __doc__, "integrations", parser)
    rows = []
    for name, (amount, full, quick) in WORK.items():
        if part.options.only not in (None, name):
            continue
        pairs = part.size(full, quick)
        taken = part.measure(name, lambda name=name, amount=amount, pairs=pairs: _measure(name, amount, pairs))
        found = added(taken)
        part.put(f"{name}/added", found)
        loop = f"{found['loop']:+.1%} [{found['low']:+.1%}, {found['high']:+.1%}]"
        waited = f"{found['waited']:+.1%} [{found['waited_low']:+.1%}, {found['waited_high']:+.1%}]"
        seconds = f"{np.median(taken['bare']):.2f} s"
        rows.append([name, amount, seconds, pairs, loop, waited, f"{found['threads']:.1%}", verdict(found)])
    table(("integration", "work", "one training", "pairs", "loop", "waited", "threads", f"goal {GOAL:.0%}"), rows)
    return int(not part.quick and any(row[-1] == "missed" for row in rows))


def _measure(name: str, amount: int, pairs: int) -> Any:
    arguments = (name, amount, pairs)
    return child("integrations.py", *arguments, timeout=1_200.0, TOUCHLINE_SINKS="", OMP_NUM_THREADS="1")


if __name__ == "__main__":
    sys.exit(main())
