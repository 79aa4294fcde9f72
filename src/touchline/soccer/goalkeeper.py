"""How both goalkeepers of the goalie task patrol their lines: how they are driven, and what is seen of it.

They are driven on a sine through their own goal posts. While they touch one, the contact slows or pushes them
within each physics step, and the official observation shows the velocity after the step. As nothing else touches
them that velocity is the same in every episode; it was recorded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.soccer import tasks as t

VELOCITY_PATH = Path(__file__).with_name("goalkeeper_velocity.npy")
"""Velocity along y after each physics step of an episode, m/s, float32, shape (5,000,): three cycles of the sine.
Written by ``tests/soccer/record_observations.py``."""


def goalkeeper(time: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """Return y (m) and the velocity (m/s) that both are given at ``time`` seconds, each of its shape."""
    omega = 2 * np.pi * t.GOALKEEPER_FREQUENCY
    amplitude = t.GOALKEEPER_AMPLITUDE
    return amplitude * xp.sin(omega * time), omega * amplitude * xp.cos(omega * time)


def goalkeeper_seen(time: Any, xp: ModuleType = np) -> tuple[Any, Any]:
    """Return y (m) and the velocity (m/s) that the observation shows ``time`` seconds after the reset.

    The position is that before the last physics step, the velocity that after it; before the first step both
    stand still.
    """
    step = xp.rint(time / t.PHYSICS_TIMESTEP).astype(np.int32)
    table = xp.asarray(_velocities())
    velocity = xp.where(step > 0, table[(step - 1) % len(table)], 0.0)
    y, _ = goalkeeper(xp.maximum(time - t.PHYSICS_TIMESTEP, 0.0), xp)
    return y, velocity


@cache
def _velocities() -> NDArray[np.float32]:
    velocities: NDArray[np.float32] = np.load(VELOCITY_PATH, allow_pickle=False)
    return velocities
