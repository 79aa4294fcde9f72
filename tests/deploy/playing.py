"""Plays a bundle's tasks here as Databricks would: each attempt on a fresh machine, which may be taken back.

A machine is a home of its own and the processes that have it; when it goes, both do. What outlives machines is what a
bundle names: the MLflow server, the registry of Unity Catalog (its stand-in), and the volume of the checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from touchline.deploy.databricks import FILES

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Workspace:
    """What outlives machines."""

    bundle: Path
    """The bundle's files."""
    variables: Mapping[str, str]
    """Addresses that replace the workspace's, and the token that the scope of secrets has."""
    place: Path
    """Where machines, and the volume, are."""

    @property
    def volume(self) -> Path:
        """The directory of the checkpoints."""
        return self.place / "volume"


@dataclass
class Attempt:
    """One attempt of a task, at work or ended."""

    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE_SECONDS)

    def until(self, is_so: Callable[[Attempt], object]) -> None:
        """Wait until something is so; raises AssertionError where the attempt ends before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(self):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def take_machine(self) -> None:
        """Take the machine back without a word: every process with its home is killed, then the home is gone."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TOUCHLINE_HOME") == str(self.home):
                    process.kill()
        self.process.wait()
        shutil.rmtree(self.home)


def start(workspace: Workspace, task: Mapping[str, Any], number: int) -> Attempt:
    """Start a task's attempt with exactly the task's file, parameters and variables."""
    home = workspace.place / f"machine-{task['task_key']}-{number}"
    home.mkdir(parents=True)
    variables = dict(task["new_cluster"]["spark_env_vars"])
    variables = {name: value.replace(FILES, str(workspace.bundle)) for name, value in variables.items()}
    variables |= {"TOUCHLINE_HOME": str(home), "TOUCHLINE_CHECKPOINTS": workspace.volume.as_uri()}
    variables |= {"TOUCHLINE_PREEMPTION": "off", "MUJOCO_GL": "disable", "WANDB_MODE": "disabled"}
    program = task["spark_python_task"]
    command = [program["python_file"].replace(FILES, str(workspace.bundle)), *program["parameters"]]
    log = workspace.place / f"{home.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **variables, **workspace.variables},
            cwd=workspace.place,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return Attempt(home, process, log)
