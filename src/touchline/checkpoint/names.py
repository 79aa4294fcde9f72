"""How a checkpoint's directory is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from touchline.checkpoint.storage import Storage

_NAME = re.compile(r"step-(\d{12,})(?:\.(\d+))?")


@dataclass(frozen=True)
class Skipped:
    """A checkpoint that was passed over."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"The checkpoint {self.path} was skipped: {self.reason}."


def names_in(storage: Storage) -> list[str]:
    """Names of the checkpoints in a storage, finished or not, oldest first."""
    return sorted((name for name in storage.names() if _NAME.fullmatch(name)), key=order)


def order(name: str) -> tuple[int, int]:
    """Step of a checkpoint, and how many of the same step came before it."""
    match = _NAME.fullmatch(name)
    return (int(match[1]), int(match[2] or 0)) if match else (-1, 0)


def free_name(step: int, names: Sequence[str]) -> str:
    """A name for a checkpoint of this step, beside the one of the same step, which is then still whole."""
    taken = [repetition for known, repetition in map(order, names) if known == step]
    return f"step-{step:012d}" + (f".{max(taken) + 1}" if taken else "")
