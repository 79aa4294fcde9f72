"""What the learners of `sac_speed.py` and `sac_learning.py` have in common."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

BATCH = 256
SPEED_ENVS = 64
"""Environments, and transitions an update."""
SPEED_REPLAY = 100_000
SPEED_WARM_UP = 1_024
"""Policy transitions before the first update."""

LEARNING_RATE = 3e-4
TAU = 0.005
GAMMA = 0.99
HIDDEN = (256, 256)
LEARNING_WARM_UP = 1_000


def widths(text: str) -> tuple[int, ...]:
    """Read ``256x256x256``."""
    return tuple(int(part) for part in text.split("x"))


class Blocks:
    """Times equal blocks of vector steps after the first update, the first block left out: it compiles."""

    def __init__(self, blocks: int, steps: int, transitions_a_step: int) -> None:
        self._steps, self._transitions = steps, transitions_a_step
        self.total = SPEED_WARM_UP // transitions_a_step + (blocks + 1) * steps
        """Vector steps to make."""
        self._seen, self._began = 0, 0.0
        self.speeds: list[float] = []

    def step(self) -> None:
        """Note that a vector step was made."""
        self._seen += 1
        since = self._seen - SPEED_WARM_UP // self._transitions
        if since >= self._steps and since % self._steps == 0:
            now = time.perf_counter()
            if since > self._steps:
                self.speeds.append(self._steps * self._transitions / (now - self._began))
            self._began = now


def say(result: dict[str, Any]) -> None:
    """Print a result as the last line, for the harness."""
    sys.stdout.write("\n" + json.dumps({**result, "load_after": round(os.getloadavg()[0], 2)}) + "\n")
