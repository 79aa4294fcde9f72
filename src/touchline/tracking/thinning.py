"""Fewer points for a sink that cannot take them all: at most one of each metric in so many seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from touchline.errors import UsageError
from touchline.tracking.journal import Event


def seconds_by_sink(texts: Iterable[str]) -> dict[str, float]:
    """Parse settings such as ``wandb=1.0`` to seconds by sink. Raises UsageError on another form."""
    seconds = {}
    for text in texts:
        sink, equals, number = text.partition("=")
        try:
            seconds[sink.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or seconds[sink.strip()] < 0:
            raise UsageError(f"{text!r} is not like wandb=1.0: a sink, '=', seconds between what it is told.")
    return seconds


class Thinning:
    """Leaves out points by the time at which they were logged; everything else passes."""

    def __init__(self, seconds: float) -> None:
        """``seconds`` between two points of a metric; 0 leaves out nothing."""
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def apply(self, events: Sequence[Event]) -> list[Event]:
        """Return the events with what stays of each, in the same number and order."""
        return [self._thin(event) for event in events] if self._seconds else list(events)

    def _thin(self, event: Event) -> Event:
        if event.kind != "metrics":
            return event
        kept = {}
        for name, value in event.payload.items():
            # A clock that was set back must not hide the points until it has caught up.
            if abs(event.time - self._last.get(name, float("-inf"))) >= self._seconds:
                self._last[name] = event.time
                kept[name] = value
        return event if len(kept) == len(event.payload) else Event(event.seq, "metrics", event.step, event.time, kept)
