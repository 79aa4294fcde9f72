"""Whose series a name stands for."""

from __future__ import annotations

import re
from functools import cache

from touchline.watch.snapshot import Snapshot


def gpus(snapshot: Snapshot) -> list[str]:
    """The prefixes of the GPUs' series: ``gpu/`` when there is one, ``gpu/0/`` and so on when there are several."""
    owners = {owner_of(series) for series in snapshot.values}
    owners |= {owner_of(series) for series, why in snapshot.absent.items() if says_lost(why)}
    named = {owner for owner in owners if owner is not None}
    return sorted(named - {"gpu/"} or named)


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
