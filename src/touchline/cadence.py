"""Cadences: when something is due in a loop that moves many steps at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

MINIMUM_SECONDS = 1.0
"""At 100,000 steps a second a thousand steps are 10 ms, and nobody reads a hundred points a second."""


class Cadence:
    """Due when a multiple of ``every`` steps has been crossed (not hit), and not sooner than ``minimum_seconds``.

    Multiples that are crossed too soon stay due, as one, until the interval has passed: the newest step wins. Steps
    that go back (a resume) start a new count from there.
    """

    def __init__(
        self,
        every: float,
        minimum_seconds: float = MINIMUM_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        *,
        start: int = 0,
    ) -> None:
        """``every`` in whole steps, at least 1; ``minimum_seconds`` 0 makes it depend on steps alone.

        ``start`` is the step to count from: that of the checkpoint where a training goes on. Raises ValueError on
        other values.
        """
        if not every >= 1 or every != every // 1:
            raise ValueError(f"A cadence is due every 1, 2, 3, … whole steps, and every is {every}. Give at least 1.")
        if not minimum_seconds >= 0:
            raise ValueError(
                f"A cadence's minimum interval is {minimum_seconds} seconds. Give 0 or more; 0 counts steps alone."
            )
        self.every = int(every)
        self.minimum_seconds = minimum_seconds
        self._clock = clock
        self._crossed = self._multiple(start)
        self._fired_at: float | None = None

    def due(self, step: int) -> bool:
        """Tell whether a multiple was crossed since the last time this returned True; marks it as served.

        Raises ValueError when ``step`` is negative.
        """
        multiple = self._multiple(step)
        if multiple <= self._crossed:
            self._crossed = multiple
            return False
        now = self._clock()
        if self._fired_at is not None and now - self._fired_at < self.minimum_seconds:
            return False
        self._crossed = multiple
        self._fired_at = now
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return which multiple was served last; when that was is not saved, clocks being this machine's own."""
        return {"every": self.every, "served": self._crossed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``; after a change of ``every`` it counts from the step that was served last."""
        self._crossed = self._multiple(state["served"] * state["every"])
        self._fired_at = None

    def _multiple(self, step: int) -> int:
        if step < 0:
            raise ValueError(f"The step {step} is negative. Steps count from 0; give how many were made so far.")
        return int(step // self.every)


class WallClockCadence:
    """Due every ``seconds`` of wall clock, counted from its creation; the first is due after one interval."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``seconds`` above 0; raises ValueError otherwise."""
        if not seconds > 0:
            raise ValueError(f"A cadence needs more than 0 seconds, and got {seconds}. For videos 300 is usual.")
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

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: an instant of this machine's clock means nothing to the process that goes on."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin a new interval."""
        self._last = self._clock()
