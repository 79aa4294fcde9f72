"""What an integration adds to somebody's training (≤ 1 %): the same work with and without it, alternating.

Usage: nice -n 0 .venv/bin/python benchmarks/integrations.py [--quick] [--fresh] [--only NAME]. Exits with 1 where an
integration's cost is surely above the goal: when the lower end of its interval is.

Two measures of each child process, imports and compilation left out. *Wall* is what a person waits for; on a shared
machine 1 % of it is below the noise. *Processor* is the time of all threads of the training process, the journal's
writer and the watch included, which other processes disturb little: it is the finer measure, and an upper bound,
since what runs beside the loop is counted too. Couriers are processes of their own and deliver after the training.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, environment, scratch, table

GOAL = 0.01
PEER = Path(__file__).parent / "peers" / "integrations.py"
WORK = {
    # name → amount of work in a full round, in a quick one; in the unit of the integration
    "stable_baselines3": (20_480, 1_024),
    "sbx": (5_000, 500),
    "gymnasium": (100_000, 4_000),
    "tensorboard": (20_000, 1_000),
    "lightning": (4_000, 100),
    "accelerate": (10_000, 200),
    "pytorch": (20_000, 500),
    "jax": (50_000, 2_000),
    "optuna": (200, 10),
    "brax": (400_000, 4_000),
}


def one(name: str, amount: int, is_recorded: bool) -> dict[str, float]:
    """Seconds of one training in a process of its own."""
    with scratch() as home:
        arguments = [sys.executable, str(PEER), name, str(amount), "recorded" if is_recorded else "bare"]
        done = subprocess.run(
            arguments,
            cwd=home,
            env=environment(TOUCHLINE_HOME=str(home / "home"), TOUCHLINE_SINKS="", OMP_NUM_THREADS="1"),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stderr[-2_000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def compare(name: str, amount: int, rounds: int) -> list[dict[str, dict[str, float]]]:
    """Pairs of trainings, each with its order turned around."""
    pairs = []
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        pair = {("recorded" if which else "bare"): one(name, amount, which) for which in order}
        pairs.append(pair)
    return pairs


def added(pairs: list[dict[str, dict[str, float]]], measure: str) -> dict[str, float]:
    """The ratio of medians minus 1, with the bootstrap's 95 % interval over pairs (10,000 draws)."""
    bare, recorded = (np.array([pair[which][measure] for pair in pairs]) for which in ("bare", "recorded"))
    drawn = np.random.default_rng(0).integers(len(pairs), size=(10_000, len(pairs)))
    ratios = np.median(recorded[drawn], axis=1) / np.median(bare[drawn], axis=1) - 1
    low, high = np.quantile(ratios, (0.025, 0.975))
    middle = np.median(recorded) / np.median(bare) - 1
    return {"added": float(middle), "low": float(low), "high": float(high)}


def main() -> int:
    """Measure, print the table, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=WORK, help="this integration alone")
    part = Part("", __doc__, "integrations", parser)
    rounds = part.size(15, 2)
    rows, missed = [], []
    for name, (full, quick) in WORK.items():
        if part.options.only not in (None, name):
            continue
        amount = part.size(full, quick)
        pairs: list[Any] = part.measure(name, lambda name=name, amount=amount: compare(name, amount, rounds))
        found = {measure: added(pairs, measure) for measure in ("wall", "processor")}
        part.put(f"{name}/added", found)
        if found["processor"]["low"] > GOAL and found["wall"]["low"] > GOAL:
            missed.append(name)
        rows.append([name, amount, len(pairs), *(_percent(found[measure]) for measure in ("wall", "processor"))])
    table(("integration", "work", "pairs", "wall, added", "processor, added"), rows)
    if missed:
        print(f"\nSurely above {GOAL:.0%}: {', '.join(missed)}")
    return 1 if missed and not part.quick else 0


def _percent(found: dict[str, float]) -> str:
    return f"{found['added']:+.1%} ({found['low']:+.1%} … {found['high']:+.1%})"


if __name__ == "__main__":
    sys.exit(main())
