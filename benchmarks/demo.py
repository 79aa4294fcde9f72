"""How long does the demo take after installation? Runs the laptop recipe in a fresh home and keeps the durations.

Usage: python benchmarks/demo.py [--warm]; `--warm` runs it a second time with the first run's JAX compile cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "demo.json"
GOAL_SECONDS = 600.0


def demo(cache: Path) -> dict[str, float]:
    """Run the pipeline once and return the seconds of each job and of all."""
    home = Path(tempfile.mkdtemp(prefix="touchline-demo-"))
    (home / "jax-cache").symlink_to(cache)
    began = time.monotonic()
    touchline = str(Path(sys.executable).parent / "touchline")
    subprocess.run([touchline, "run", "pipeline", "--recipe", "laptop", "--home", str(home)], check=True)
    seconds = {"all": time.monotonic() - began}
    for result in sorted(home.glob("runs/*/result.json")):
        seconds[result.parent.name.split("-")[2]] = json.loads(result.read_text())["seconds"]
    shutil.rmtree(home)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", action="store_true")
    warm = parser.parse_args().warm
    cache = Path(tempfile.mkdtemp(prefix="touchline-jax-cache-"))
    measured = {"cold": demo(cache)}
    if warm:
        measured["warm"] = demo(cache)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"processors": os.cpu_count(), "seconds": measured}, indent=2) + "\n")
    for name, seconds in measured.items():
        jobs = ", ".join(f"{job} {value:.0f} s" for job, value in seconds.items() if job != "all")
        verdict = "within" if seconds["all"] <= GOAL_SECONDS else "OVER"
        print(f"{name} compile cache: {seconds['all']:.0f} s ({jobs}): {verdict} the goal of {GOAL_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
