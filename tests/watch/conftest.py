"""A process that watches a stand-in driver through the real nvidia-ml-py, and answers what it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from touchline.testing.nvml import SCENARIO_VARIABLE, build_driver, write_scenario

WATCHING = """
import json, sys, time
from touchline.watch import GpuWatch
with GpuWatch(float(sys.argv[1])) as watch:
    for question in sys.stdin:
        sampled = question == "now\\n" or watch.wait_sample(20)
        begun = time.perf_counter()
        metrics = watch.metrics()
        took = time.perf_counter() - begun
        print(json.dumps([sampled, metrics, watch.absent, took]), flush=True)
"""

ONE_GPU = {
    "count": 1,
    "0.utilization": 80,
    "0.total": 24_000_000_000,
    "0.free": 6_000_000_000,
    "0.temperature": 61,
    "0.power": 55_500,
}


class Watching:
    """The watching process."""

    def __init__(self, process: subprocess.Popen[str], scenario: Path) -> None:
        self._process, self._scenario = process, scenario
        self.took = 0.0

    def set(self, figures: dict[str, int]) -> None:
        write_scenario(self._scenario, figures)

    def ask(self, question: str = "next") -> tuple[dict[str, float], dict[str, str]]:
        """Metrics and absences after the next whole sample, or right now."""
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        sampled, metrics, absent, self.took = json.loads(self._process.stdout.readline())
        assert sampled
        return metrics, absent


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


Watch = Callable[..., Watching]


@pytest.fixture
def watch(driver: Path, tmp_path: Path) -> Iterator[Watch]:
    processes = []

    def start(figures: dict[str, int], interval: float = 0.02, **environment: str) -> Watching:
        scenario = tmp_path / "scenario"
        write_scenario(scenario, figures)
        clean: dict[str, Any] = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHING, str(interval)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, "LD_LIBRARY_PATH": str(driver.parent), SCENARIO_VARIABLE: str(scenario), **environment},
        )
        processes.append(process)
        return Watching(process, scenario)

    yield start
    for process in processes:
        process.kill()
        process.communicate()
