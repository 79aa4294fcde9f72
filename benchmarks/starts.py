"""Does anything hang? Starts the smoke pipeline, or a short MJX training, many times in a row under a time-out.

jaxlib 0.10 can deadlock on machines with few processors; MJX's batched Cholesky is where it does. An interrupted
benchmark goes on where it stopped; delete its result to begin anew. Usage:
python benchmarks/starts.py [--what pipeline|mjx] [--times 10]
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

RESULTS = Path(__file__).parent / "results"
TIMEOUT_SECONDS = 600.0
COMMANDS = {
    "pipeline": ["run", "pipeline", "--recipe", "smoke"],
    "mjx": [
        *("run", "pretrain", "--recipe", "smoke", "--pretrain.backend", "mjx"),
        *("--pretrain.num-envs", "16", "--pretrain.total-steps", "6400"),
        *("--pretrain.sac.warmup-steps", "1000"),
    ],
}


def start(command: list[str], cache: Path) -> tuple[float, str]:
    """Run once in a fresh home; returns the seconds and ``finished``, ``hung`` or the exit code."""
    home = Path(tempfile.mkdtemp(prefix="touchline-start-"))
    (home / "jax-cache").symlink_to(cache)
    touchline = str(Path(sys.executable).parent / "touchline")
    began = time.monotonic()
    try:
        done = subprocess.run(
            [touchline, *command, "--home", str(home)],
            timeout=TIMEOUT_SECONDS,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        said = "finished" if done.returncode == 0 else f"exit code {done.returncode}"
    except subprocess.TimeoutExpired:
        said = "hung"
    shutil.rmtree(home, ignore_errors=True)
    return time.monotonic() - began, said


def main() -> None:
    """Start again and again, and keep what happened after each start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=sorted(COMMANDS), default="pipeline")
    parser.add_argument("--times", type=int, default=10)
    options = parser.parse_args()
    cache = Path(tempfile.mkdtemp(prefix="touchline-jax-cache-"))
    path = RESULTS / f"starts-{options.what}.json"
    outcomes: list[dict[str, object]] = json.loads(path.read_text())["starts"] if path.exists() else []
    for number in range(len(outcomes) + 1, options.times + 1):
        seconds, said = start(COMMANDS[options.what], cache)
        outcomes.append({"seconds": round(seconds, 1), "outcome": said})
        print(f"{options.what} {number}/{options.times}: {said} after {seconds:.0f} s", flush=True)
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps({"processors": os.cpu_count(), "starts": outcomes}, indent=2) + "\n")
    finished = sum(one["outcome"] == "finished" for one in outcomes)
    print(f"{finished} of {options.times} starts of {options.what} finished")
    sys.exit(finished != options.times)


if __name__ == "__main__":
    main()
