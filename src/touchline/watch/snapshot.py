"""One look of the watch at the machine; what alerts, forecasts, cost and diagnosis are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Snapshot:
    """One look at everything; never changed after it is made."""

    at: float
    """Monotonic seconds."""
    values: Mapping[str, float]
    """Each series that could be had, by its name."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Each series that could not, and why."""
