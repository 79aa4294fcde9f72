"""What a run knows of tuning: to whom it reports its objective, and that it may be given up early."""

from __future__ import annotations

from typing import Protocol


class Pruned(Exception):
    """The study gives up this trial; a run that it leaves ends as ``pruned``, which is no failure."""


class Reporter(Protocol):
    """Who takes the values that a run reports; ``touchline.tuning`` has one for a trial of a study."""

    @property
    def last(self) -> float | None:
        """What was reported last, None before the first value."""

    def due(self, step: int) -> bool:
        """Whether a value at ``step``, in the unit of the run's steps, would be taken."""

    def report(self, value: float, step: int) -> None:
        """Take the objective's value at ``step``. Raises Pruned when the trial is to be given up."""
