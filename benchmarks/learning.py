"""Does SAC learn from nothing? Pre-train with five seeds and compare with the untrained policy.

Runs `touchline run pretrain --recipe stand --seed K`, one seed after the other, and writes the table after each
one, so an interrupted benchmark goes on where it stopped. Usage: python benchmarks/learning.py [--seeds 5]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parent / "results" / "learning.json"


def pretrain(seed: int) -> dict[str, float]:
    """Run the job in a home of its own and return its evaluation, with the seconds it took."""
    home = Path(tempfile.mkdtemp(prefix="touchline-learning-"))
    cache = Path(tempfile.gettempdir()) / "touchline-learning-jax-cache"
    home.mkdir(exist_ok=True)
    cache.mkdir(exist_ok=True)
    (home / "jax-cache").symlink_to(cache)
    began = time.monotonic()
    command = ["touchline", "run", "pretrain", "--recipe", "stand", "--seed", str(seed), "--home", str(home)]
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True)
    seconds = time.monotonic() - began
    (result,) = home.glob("runs/*-pretrain-*/result.json")
    evaluation = json.loads(result.read_text())["summary"]["evaluation"]
    shutil.rmtree(home)
    return {**evaluation, "seconds": seconds}


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return mean and 95 % interval over seeds (Student's t)."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(np.mean(values) - half), float(np.mean(values) + half)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    done = json.loads(RESULTS.read_text())["seeds"] if RESULTS.exists() else {}
    for seed in seeds:
        if str(seed) in done:
            continue
        done[str(seed)] = pretrain(seed)
        RESULTS.parent.mkdir(exist_ok=True)
        about = {"machine": f"{platform.machine()}, {platform.processor() or platform.system()}", "recipe": "stand"}
        RESULTS.write_text(json.dumps({**about, "seeds": done}, indent=2) + "\n")
    print("seed  untrained  trained [95 % over episodes]   stays up  seconds")
    for seed, row in done.items():
        print(
            f"{seed:>4}  {row['report/untrained_return']:9.1f}  {row['report/return']:7.1f} "
            f"[{row['report/return_low']:.1f}, {row['report/return_high']:.1f}]   "
            f"{row['report/survival_share']:8.0%}  {row['seconds']:7.0f}"
        )
    trained = interval([row["report/return"] for row in done.values()])
    untrained = interval([row["report/untrained_return"] for row in done.values()])
    apart = "do not overlap" if trained[1] > untrained[2] else "OVERLAP"
    print(
        f"over {len(done)} seeds: trained {trained[0]:.1f} [{trained[1]:.1f}, {trained[2]:.1f}], "
        f"untrained {untrained[0]:.1f} [{untrained[1]:.1f}, {untrained[2]:.1f}]: the 95 % intervals {apart}"
    )


if __name__ == "__main__":
    main()
