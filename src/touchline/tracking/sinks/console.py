"""The last values in the training's own terminal: a table that refreshes, or a line now and then.

The one sink that has no courier, because a courier has no terminal: ``console_view.py`` feeds it from a thread of the
training process.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from touchline.config import Settings
from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.journal import Event
from touchline.tracking.narrate import headline
from touchline.tracking.sinks.base import RunInfo, SetAside

if TYPE_CHECKING:
    from rich.console import RenderableType

TABLE_SECONDS = 1.0
LINE_SECONDS = 10.0
_BARS = "▁▂▃▄▅▆▇█"
_TREND = 24
_NOTES = 3
_ROWS = 30
_LINE_METRICS = 6


class ConsoleSink:
    """Shows runs on standard error, or on another stream."""

    name = "console"
    append_only = False

    def __init__(self, settings: Settings, stream: TextIO | None = None) -> None:
        """``stream``: where to write; None is standard error."""
        self._stream = stream

    def check(self) -> None:
        """There is always a place to write to."""

    def open(self, run: RunInfo, delivered: int, sent: int) -> ConsoleSession:
        """Begin with nothing shown."""
        return ConsoleSession(run, self._stream)


class ConsoleSession:
    """What is shown of one run; ``show`` writes it, everything else only takes note."""

    url = ""
    resume_from = 0

    def __init__(self, run: RunInfo, stream: TextIO | None = None) -> None:
        from touchline.tracking.sinks.console_screen import Lines, Screen

        stream = stream or sys.stderr
        self.remote_id = run.id
        self.values: dict[str, tuple[int, float]] = {}
        """Last (step, value) of each metric."""
        self._run = run
        self._screen = Screen(stream) if _can_redraw(stream) else Lines(stream)
        self._trends: dict[str, deque[float]] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._done = 0
        self._status = "running"
        self._told_at = time.monotonic()

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Take note of the events."""
        for event in events:
            if event.kind == "metrics":
                for name, value in event.metrics.items():
                    self._take(name, event.step or 0, value)
            elif event.kind == "rewind":
                self._notes.append(f"went back to step {event.step}")
                self.values = {name: last for name, last in self.values.items() if last[0] <= (event.step or 0)}
            elif event.kind == "alert":
                self._notes.append(f"{event.payload['level']}: {headline(event)}")
            elif event.kind == "decision":
                self._notes.append(headline_of_decision(event.payload))
            elif event.kind == "milestone":
                self._notes.append(f"{event.payload['name']} version {event.payload['version']} is a milestone")
            self._done = event.seq
        return []

    def acknowledged(self) -> int:
        """Newest event taken note of."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Nothing is kept from one session to the next."""
        return {}

    def show(self) -> None:
        """Write the present state; a stream that is no terminal gets a line every LINE_SECONDS."""
        if self._screen.redraws:
            self._screen.draw(self.table())
        elif time.monotonic() - self._told_at >= LINE_SECONDS:
            self._told_at = time.monotonic()
            self._screen.draw(self.line())

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Write the last state, which stays, with the status."""
        self._status = status
        if reason:
            self._notes.append(reason)
        self._screen.draw(self.table() if self._screen.redraws else self.line(), last=True)
        self._screen.close()

    def release(self) -> None:
        """Leave what is shown as it is."""
        self._screen.close()

    def table(self) -> RenderableType:
        """The last value, its step and its trend of each metric, and the newest alerts."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        title = Text(f"{self._run.name}  {self._status}")
        caption = Text("\n".join(self._notes)) if self._notes else None
        table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("metric")
        table.add_column("value", justify="right")
        table.add_column("step", justify="right")
        table.add_column("trend", no_wrap=True)
        for name in sorted(self.values)[:_ROWS]:
            step, value = self.values[name]
            table.add_row(Text(name), f"{value:.6g}", f"{step:,}", sparkline(self._trends[name]))
        if len(self.values) > _ROWS:
            table.add_row(f"… {len(self.values) - _ROWS} more", "", "", "")
        return table

    def line(self) -> str:
        """The newest values in one line."""
        newest = sorted(self.values.items(), key=lambda item: -item[1][0])
        shown = "  ".join(f"{name} {value:.6g}" for name, (_, value) in newest[:_LINE_METRICS])
        step = f"  step {newest[0][1][0]:,}" if newest else ""
        notes = f"  ({'; '.join(self._notes)})" if self._notes else ""
        self._notes.clear()
        return f"{self._run.name} {self._status}{step}  {shown}{notes}".rstrip()

    def _take(self, name: str, step: int, value: float) -> None:
        if name not in self.values or step >= self.values[name][0]:
            self.values[name] = (step, value)
            self._trends.setdefault(name, deque(maxlen=_TREND)).append(value)


def sparkline(values: Sequence[float]) -> str:
    """Values as a row of bars, a blank for one that is not finite."""
    finite = [value for value in values if abs(value) < float("inf")]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    top = len(_BARS) - 1
    return "".join(
        (_BARS[round((value - low) / span * top) if span else 0] if abs(value) < float("inf") else " ")
        for value in values
    )


def _can_redraw(stream: TextIO) -> bool:
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return stream.isatty() and encoding.startswith("utf")
