"""When a courier tries again: after an outage of the far side, or after the failure of one run."""

from __future__ import annotations

import random
import time

from touchline.tracking.sinks.base import SinkUnavailable

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0


class Outage:
    """The far side does not answer; each failed attempt doubles the time until the next, with jitter."""

    def __init__(self, cause: SinkUnavailable, before: Outage | None = None) -> None:
        """``before``: the outage that goes on with this failure."""
        self.cause = cause
        doubled = FIRST_RETRY_SECONDS if before is None else 2 * before.seconds
        self.seconds: float = min(doubled, LAST_RETRY_SECONDS)
        self._retry_at = time.monotonic() + self.seconds * random.uniform(0.75, 1.25)

    def is_due(self) -> bool:
        """True when it is time for the next attempt."""
        return time.monotonic() >= self._retry_at

    def retry_now(self) -> None:
        """Make the next attempt due."""
        self._retry_at = 0.0


class Bench:
    """Runs that failed although the far side answers; each waits for its own next attempt, the others play on."""

    def __init__(self) -> None:
        self._outages: dict[str, Outage] = {}

    def send_off(self, run_id: str, cause: SinkUnavailable) -> None:
        """Let a run wait."""
        self._outages[run_id] = Outage(cause, self._outages.get(run_id))

    def may_play(self, run_id: str) -> bool:
        """True when a run is not on the bench, or has waited long enough; never again where that cannot help."""
        outage = self._outages.get(run_id)
        return outage is None or (outage.is_due() and not outage.cause.fresh_process)

    def has(self, run_id: str) -> bool:
        """True when a run is waiting."""
        return run_id in self._outages

    def awaits_a_person(self, run_id: str) -> bool:
        """True when a run waits for what only a person can change."""
        return run_id in self._outages and self._outages[run_id].cause.permanent

    def welcome_back(self, run_id: str) -> None:
        """A run goes on."""
        self._outages.pop(run_id, None)

    @property
    def needs_fresh_process(self) -> bool:
        """True when a run waits for what this process cannot do any more."""
        return any(outage.cause.fresh_process for outage in self._outages.values())
