"""A world as a vector environment, on the backend that a name chooses."""

from __future__ import annotations

from typing import Any

from touchline.errors import unknown
from touchline.simulation.world import World

DEFAULT_ENVIRONMENTS = {"native": 128, "mjx": 2_048}
"""Environments stepped together where a configuration does not say: what fills two processors, or an accelerator."""


def make_envs(world: World, backend: str, num_envs: int | None = None) -> Any:
    """Return ``world`` as a vector environment; raises UsageError when there is no such backend.

    Without ``num_envs`` there are 128 on ``native`` and 2,048 on ``mjx``.
    """
    if backend not in DEFAULT_ENVIRONMENTS:
        raise unknown("backend", backend, DEFAULT_ENVIRONMENTS)
    num_envs = num_envs or DEFAULT_ENVIRONMENTS[backend]
    if backend == "native":
        from touchline.simulation.native import NativeWorld

        return NativeWorld(world, num_envs)
    from touchline.simulation.mjx import MjxWorld

    return MjxWorld(world, num_envs)
