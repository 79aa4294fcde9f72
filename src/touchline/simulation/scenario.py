"""A scenario: which episode is played, as data that replays it for any policy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scenario:
    """One episode of a target environment; worlds with more to say about an episode derive from it."""

    task: str
    """One of the world's tasks."""
    seed: int
    """Seed of the reset, from which everything random of the episode is drawn."""

    @property
    def digest(self) -> str:
        """SHA-256 of the JSON form, 64 hexadecimal digits: equal scenarios have equal digests, on every machine."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {"task": self.task, "seed": self.seed}
