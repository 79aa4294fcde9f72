"""Whose series a name stands for."""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache

from touchline.watch.snapshot import Snapshot


def gpus(snapshot: Snapshot) -> tuple[str, ...]:
    """The prefixes of the GPUs' series: ``gpu/`` when there is one, ``gpu/0/`` and so on when there are several."""
    lost = tuple(series for series, why in snapshot.absent.items() if says_lost(why))
    return _owners(tuple(snapshot.values) + lost)


def figure(snapshot: Snapshot, series: str) -> float | None:
    """The figure of a series, or None when there is none that is finite."""
    value = snapshot.values.get(series)
    return value if value is not None and math.isfinite(value) else None


@lru_cache(maxsize=64)
def _owners(series: tuple[str, ...]) -> tuple[str, ...]:
    owners = {owner for name in series if (owner := owner_of(name)) is not None}
    return tuple(sorted(owners - {"gpu/"} or owners))


@cache
def owner_of(series: str) -> str | None:
    """The prefix of a GPU's series; None for any other series."""
    found = re.match(r"gpu/(\d+/)?(?=[^/]+$)", series)
    return found.group() if found else None


@cache
def called(owner: str) -> str:
    """What people call the owner of a series, by its prefix."""
    index = owner.removeprefix("gpu/").rstrip("/")
    return {"gpu/": "GPU", "jax/": "JAX's memory pool", "torch/": "torch's allocator"}.get(owner, f"GPU {index}")


def says_lost(reason: str) -> bool:
    """Whether a reason for an absence is that the GPU is lost."""
    return "lost" in reason.casefold()
