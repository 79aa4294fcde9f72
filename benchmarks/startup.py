"""How long a person waits for the command line: medians of fresh processes, wall clock.

Run: .venv/bin/python benchmarks/startup.py [repetitions]. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "startup.json"
TOUCHLINE = str(Path(sys.executable).with_name("touchline"))
CASES = (
    ("python -c pass", [sys.executable, "-c", "pass"], None),
    ("import touchline", [sys.executable, "-c", "import touchline"], 0.2),
    ("touchline --help", [TOUCHLINE, "--help"], 0.3),
    ("touchline run pretrain --help", [TOUCHLINE, "run", "pretrain", "--help"], None),
    ("touchline run pipeline --help", [TOUCHLINE, "run", "pipeline", "--help"], None),
)
"""(what, command, goal in seconds or None)."""


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one fresh process."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main(repetitions: int = 15) -> int:
    """Print the table; returns 1 when a goal is missed."""
    missed, kept = 0, {}
    print(f"| process | median of {repetitions} | slowest | goal |\n|---|---|---|---|")
    for what, command, goal in CASES:
        seconds(command)  # byte-compiled and in the page cache from here on
        taken = [seconds(command) for _ in range(repetitions)]
        median = statistics.median(taken)
        missed += goal is not None and median > goal
        kept[what] = round(median, 4)
        wanted = "–" if goal is None else f"{goal * 1000:.0f} ms"
        print(f"| `{what}` | {median * 1000:.0f} ms | {max(taken) * 1000:.0f} ms | {wanted} |")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"processors": os.cpu_count(), "median_seconds": kept}, indent=2) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
