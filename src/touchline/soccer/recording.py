"""Recorded official observations with the physical states behind them, packaged so that gate 1 needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATH = Path(__file__).with_name("official_observations.npz")
"""Written by ``tests/soccer/record_observations.py``."""
_ARRAYS = ("official", "quaternion", "qpos", "qvel", "time", "torque", "target", "defenders", "task", "phase")


@dataclass(frozen=True)
class Recording:
    """n official observations; axis 1 of ``qpos``, ``qvel`` and ``time`` is before and after the last physics step.

    After a reset, no step has been done and both are the state as it stands.
    """

    official: NDArray[np.float64]
    """What the competition's own code shows a policy, in its order and precision, shape (n, 89)."""
    quaternion: NDArray[np.float32]
    """``info["robot_quat"]``: x, y, z, w; shape (n, 4)."""
    qpos: NDArray[np.float64]
    """Robot's root (7), its leg joints (12) and the ball (7), shape (n, 2, 26)."""
    qvel: NDArray[np.float64]
    """Their velocities, 6, 12 and 6, shape (n, 2, 24)."""
    time: NDArray[np.float64]
    """Seconds since the reset, shape (n, 2)."""
    torque: NDArray[np.float64]
    """Of the leg joints during the last physics step, N·m, shape (n, 12)."""
    target: NDArray[np.float64]
    """World position of the target, metres, zeros where the task has none; shape (n, 3)."""
    defenders: NDArray[np.float64]
    """World positions of the defenders, metres, zeros where the task has none; shape (n, 9)."""
    task: NDArray[np.int64]
    """Index into ``tasks.TASKS``, shape (n,)."""
    phase: NDArray[np.int64]
    """Index into ``phases``, shape (n,)."""
    columns: tuple[tuple[str, int], ...]
    """Official names and sizes of what ``official`` holds, in order."""
    phases: tuple[str, ...]
    """What the robot did."""
    versions: Mapping[str, str]
    """Of ``sai-mujoco`` and ``mujoco``."""

    def info(self) -> dict[str, NDArray[Any]]:
        """Return ``official`` and ``quaternion`` by the names of the official info, each of shape (n, size)."""
        ends = np.cumsum([size for _, size in self.columns])[:-1]
        parts = np.split(self.official, ends, axis=1)
        named = {name: part for (name, _), part in zip(self.columns, parts, strict=True)}
        return {**named, "robot_quat": self.quaternion}

    def save(self, path: Path) -> None:
        """Write a compressed ``.npz`` without pickles."""
        told = {"columns": self.columns, "phases": self.phases, "versions": dict(self.versions)}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez_compressed(path, told=np.array(json.dumps(told)), **arrays)


def load_recording(path: Path = PATH) -> Recording:
    """Return the packaged recording."""
    with np.load(path, allow_pickle=False) as file:
        told = json.loads(str(file["told"]))
        arrays = {name: file[name] for name in _ARRAYS}
    columns = tuple((name, size) for name, size in told["columns"])
    return Recording(**arrays, columns=columns, phases=tuple(told["phases"]), versions=told["versions"])
