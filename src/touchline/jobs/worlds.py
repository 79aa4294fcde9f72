"""Where jobs meet the soccer worlds: the training scene as a vector environment."""

from __future__ import annotations

from typing import Any, Literal

from touchline.errors import unknown
from touchline.soccer.world import WorldConfig

Backend = Literal["native", "mjx"]


def make_world(backend: str, num_envs: int, config: WorldConfig) -> Any:
    """Return the training scene on a backend; raises UsageError when there is no such backend."""
    if backend == "native":
        from touchline.soccer.native import NativeSoccer

        return NativeSoccer(num_envs, config)
    if backend == "mjx":
        from touchline.soccer.mjx import MjxSoccer

        return MjxSoccer(num_envs, config)
    raise unknown("backend", backend, ("native", "mjx"))
