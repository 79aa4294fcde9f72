"""Processes that meet a stand-in driver through the real nvidia-ml-py, and answer what they are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from touchline.testing.nvml import build_driver, stand_in_environment, write_clock, write_scenario

WATCHING = """
import json, sys
from touchline.watch import GpuWatch
with GpuWatch(float(sys.argv[1])) as watch:
    for question in map(json.loads, sys.stdin):
        sampled = not question["wait"] or watch.wait_sample(20)
        metrics = watch.metrics(question["detail"])
        print(json.dumps([sampled, metrics, watch.absent, dict(watch.latest.values)]), flush=True)
"""

LOOKING = """
import json, sys
from touchline.watch.nvml_reader import Gpus
now = 0.0
gpus = Gpus(clock=lambda: now)
for question in sys.stdin:
    now = float(question)
    print(json.dumps(gpus.look()), flush=True)
"""


class Child:
    """A process that answers a line of JSON with one."""

    def __init__(self, process: subprocess.Popen[str], scenario: Path, clock: Path) -> None:
        self._process, self._scenario, self._clock = process, scenario, clock

    def set(self, text: str) -> None:
        write_scenario(self._scenario, text)

    def at(self, seconds: float) -> None:
        write_clock(self._clock, seconds)

    def _answer(self, question: Any) -> Any:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Looking(Child):
    """Looks at the GPUs at times of the scenario's clock."""

    def look(self, at: float = 0.0) -> tuple[dict[str, float], dict[str, str]]:
        """Values and absences at ``at`` seconds."""
        self.at(at)
        values, absent = self._answer(at)
        return values, absent


class Watching(Child):
    """Watches all the time; the scenario's clock stands at 0 until it is put elsewhere."""

    latest: dict[str, float]

    def ask(self, *, wait: bool = True, detail: bool = False) -> tuple[dict[str, float], dict[str, str]]:
        """Metrics and absences after the next whole sample, or right now."""
        sampled, metrics, absent, self.latest = self._answer({"wait": wait, "detail": detail})
        assert sampled
        return metrics, absent

    def until(
        self, holds: Callable[[dict[str, float], dict[str, str]], bool], **options: bool
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Ask again until the answer is one that is waited for."""
        deadline = time.monotonic() + 300
        while True:
            metrics, absent = self.ask(**options)
            if holds(metrics, absent):
                return metrics, absent
            assert time.monotonic() < deadline, (metrics, absent)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(driver: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts Python code that finds the stand-in driver, its scenario and its clock."""
    processes = []

    def start(code: str, scenario: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        write_clock(tmp_path / "clock", 0.0)
        stand_in = stand_in_environment(driver, write_scenario(tmp_path / "scenario", scenario), tmp_path / "clock")
        clean = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, **stand_in, **environment},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def gpus(start: Start, tmp_path: Path) -> Callable[..., Looking]:
    def look(scenario: str, **environment: str) -> Looking:
        return Looking(start(LOOKING, scenario, **environment), tmp_path / "scenario", tmp_path / "clock")

    return look


@pytest.fixture
def watch(start: Start, tmp_path: Path) -> Callable[..., Watching]:
    def watch(scenario: str, interval: float = 0.02, **environment: str) -> Watching:
        process = start(WATCHING, scenario, str(interval), **environment)
        return Watching(process, tmp_path / "scenario", tmp_path / "clock")

    return watch
