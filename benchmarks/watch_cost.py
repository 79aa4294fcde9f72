"""What the watch costs a training loop, its own thread, and a series that fails for a second.

Run: .venv/bin/python benchmarks/watch_cost.py [--quick]. Exits with 1 when a goal is missed. The driver is the
stand-in of ``touchline.testing.nvml``: what a real one takes for its answers comes on top of the sampling.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, INSTALL, PEERS, PEERS_PYTHON, machine

from touchline.testing.nvml import build_driver, packaged_scenario, stand_in_environment, write_scenario

HANG = "hang nvmlDeviceGetUtilizationRates = 3s from 3s"
FAULT = "fault * = UNKNOWN from 5s until 6s"
LOG_STEP_GOAL_US = 50.0
SAMPLING_GOAL_PERCENT = 0.5

SAMPLING = """
import json, sys, time
from touchline.watch import GpuWatch
with GpuWatch(1.0) as watch:
    time.sleep(5)
    began, busy = time.perf_counter(), time.process_time()
    time.sleep(float(sys.argv[1]))
    print(json.dumps(100 * (time.process_time() - busy) / (time.perf_counter() - began)))
"""
"""Percent of one core that a process takes whose only work is a watch at 1 s."""

HEALING = """
import json, time
from touchline.watch import GpuWatch
samples = []
with GpuWatch(1.0, observers=[lambda sample: samples.append(sorted(sample.values))]):
    time.sleep(15)
print(json.dumps(samples))
"""
"""Names of the series of each sample."""


class Machine:
    """A stand-in driver with one L4, under what a scenario adds to it."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._library = directory, build_driver(directory)

    def run(self, *command: object, also: str = "") -> Any:
        """Return the JSON that a process prints which has this driver."""
        text = f"{packaged_scenario('l4')}\n{also}\n"
        scenario = write_scenario(self._directory / "scenario.ini", text)
        environment = {**os.environ, **stand_in_environment(self._library, scenario)}
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2_000:]}")
        return json.loads(done.stdout)


def has_nvitop() -> bool:
    """Whether the peers' interpreter can run nvitop's loop."""
    if not PEERS_PYTHON.exists():
        return False
    return subprocess.run([PEERS_PYTHON, "-c", "import numpy, nvitop"], capture_output=True).returncode == 0


def log_steps(machine: Machine, python: Path, what: str, seconds: float) -> dict[str, Any]:
    """Microseconds of a log step; while hanging, the driver always hangs for 3 s."""
    cases = {
        "every 5 ms": (1.0, 0.005, 3, seconds, ""),
        "every 5 ms, the driver hangs": (1.0, 0.005, 4, seconds, HANG),
        "every 0.23 s, new samples each time": (0.2, 0.23, 3, 2 * seconds, ""),
    }
    found = {}
    for case, (interval, pace, skip, lasting, also) in cases.items():
        script = PEERS / "watch_loop.py"
        took = np.array(machine.run(python, script, what, interval, pace, skip, lasting, also=also))
        median, p99 = np.percentile(took, [50, 99])
        found[case] = {
            "log_steps": len(took),
            "median_us": round(median, 1),
            "p99_us": round(p99, 1),
            "worst_us": round(took.max(), 1),
        }
    return found


def healing(machine: Machine) -> dict[str, Any]:
    """How many series a fault of 1 s ends, of those that were there before."""
    samples = [set(names) for names in machine.run(sys.executable, "-c", HEALING, also=FAULT)]
    gpu = {name for name in samples[3] if name.startswith("gpu/")}
    return {
        "series_before": len(gpu),
        "recovered_percent": 100 * len(gpu & samples[-1]) / len(gpu),
        "samples": len(samples),
        "samples_without_gpu": sum(not gpu & names for names in samples),
    }


def table(steps: dict[str, Any]) -> None:
    """Print the log steps."""
    print("| log step | watch | median µs | p99 µs | worst µs |\n|---|---|---|---|---|")
    for what, cases in steps.items():
        if isinstance(cases, str):
            print(f"| – | {what} | {cases} | | |")
            continue
        for case, found in cases.items():
            print(f"| {case} | {what} | {found['median_us']:,} | {found['p99_us']:,} | {found['worst_us']:,} |")


def main() -> int:
    """Print the tables and keep the figures; returns 1 when a goal is missed."""
    quick = "--quick" in sys.argv[1:]
    results = HERE.parent / "build" / "benchmarks" if quick else HERE / "results"
    results.mkdir(parents=True, exist_ok=True)
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as directory:
        machine_with_l4 = Machine(Path(directory))
        own = Path(sys.executable)
        steps: dict[str, Any] = {
            "touchline": log_steps(machine_with_l4, own, "touchline", 4 if quick else 25),
            "nothing": log_steps(machine_with_l4, own, "nothing", 4 if quick else 10),
        }
        if has_nvitop():
            steps["nvitop"] = log_steps(machine_with_l4, PEERS_PYTHON, "nvitop", 4 if quick else 10)
        else:
            steps["nvitop"] = f"not installed; to have it: {INSTALL}"
        sampling = machine_with_l4.run(sys.executable, "-c", SAMPLING, 5 if quick else 60)
        healed = healing(machine_with_l4)
    table(steps)
    recovered, without = healed["recovered_percent"], healed["samples_without_gpu"]
    print(f"\nSampling at 1 s takes {sampling:.2f} % of one core.")
    print(
        f"After a fault of 1 s {recovered:.0f} % of the GPU's series are back; {without} samples went without them."
    )
    kept = {
        "machine": machine(),
        "load_before": load,
        "log_steps": steps,
        "sampling_percent": round(sampling, 3),
        "healing": healed,
    }
    (results / "watch-cost.json").write_text(json.dumps(kept, indent=1) + "\n")
    slowest = max(found["p99_us"] for found in steps["touchline"].values())
    met = (slowest <= LOG_STEP_GOAL_US, sampling <= SAMPLING_GOAL_PERCENT, healed["recovered_percent"] == 100)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
