"""Cadences: when something is due in a loop that moves many steps at a time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Cadence:
    """Due when a multiple of ``every`` steps has been crossed (not hit), and not sooner than ``minimum_seconds``.

    A multiple that is crossed too soon stays due until the interval has passed. Steps that go back (a resume)
    start a new count from there.
    """

    def __init__(self, every: int, minimum_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """``every`` in steps, at least 1; raises ValueError otherwise."""
        if every < 1:
            raise ValueError(f"A cadence needs every >= 1 step, and got {every}.")
        self.every = every
        self.minimum_seconds = minimum_seconds
        self._clock = clock
        self._crossed = 0
        self._fired_at: float | None = None

    def due(self, step: int) -> bool:
        """Tell whether a multiple was crossed since the last time this returned True; marks it as served."""
        multiple = step // self.every
        if multiple < self._crossed:
            self._crossed = multiple
        if multiple == self._crossed:
            return False
        now = self._clock()
        if self._fired_at is not None and now - self._fired_at < self.minimum_seconds:
            return False
        self._crossed = multiple
        self._fired_at = now
        return True


class WallClockCadence:
    """Due every ``seconds`` of wall clock, counted from its creation; the first is due after one interval."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``seconds`` above 0; raises ValueError otherwise."""
        if seconds <= 0:
            raise ValueError(f"A cadence needs more than 0 seconds, and got {seconds}.")
        self.seconds = seconds
        self._clock = clock
        self._last = clock()

    def due(self) -> bool:
        """Tell whether the interval has passed since the last time this returned True."""
        now = self._clock()
        if now - self._last < self.seconds:
            return False
        self._last = now
        return True
