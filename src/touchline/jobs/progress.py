"""The progress of a job: a live display on a terminal, one line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_SECONDS = 5.0
RATE_WINDOW_SECONDS = 10.0
REFRESHES_PER_SECOND = 2  # a refresh takes milliseconds of the training loop's interpreter
_BARS = "▁▂▃▄▅▆▇█"


class Bar(Protocol):
    """What a job talks to while it works."""

    def update(self, step: int, **metrics: float) -> None:
        """Tell the position, in the bar's unit, and the latest metrics by name."""

    def event(self, text: str) -> None:
        """Tell something that happened: a checkpoint, a video, an alert."""


@contextlib.contextmanager
def progress(
    job: str,
    total: int | None,
    unit: str = "steps",
    *,
    headline: str = "episode_reward",
    to: TextIO | None = None,
) -> Iterator[Bar]:
    """Show a job's progress towards ``total`` units (None: unknown) on stdout, or ``to``, in the context.

    ``headline`` is the metric that gets a sparkline.
    """
    stream = to or sys.stdout
    pace = Pace(total)
    if not _is_rich_terminal(stream):
        lines = LineBar(job, pace, unit, stream)
        try:
            yield lines
        finally:
            lines.close()
        return
    from rich.live import Live

    console = terminal(stream)
    display = TerminalBar(job, pace, unit, headline, console)
    with Live(get_renderable=display.render, console=console, refresh_per_second=REFRESHES_PER_SECOND):
        yield display


def terminal(to: TextIO | None = None) -> Console:
    """Return a rich console on stdout, or ``to``, that colours nothing by guessing."""
    from rich.console import Console

    return Console(file=to, highlight=False, soft_wrap=not (to or sys.stdout).isatty())


def _is_rich_terminal(stream: TextIO) -> bool:
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return stream.isatty() and encoding.startswith("utf")


class Pace:
    """Position, speed over the last seconds and time left, of a counter that moves by leaps."""

    def __init__(self, total: int | None) -> None:
        self.total = total
        self.step = 0
        self.began = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque([(self.began, 0)])
        self._resumed = False

    def move(self, step: int) -> None:
        """Take the new position."""
        now = time.monotonic()
        if not self._resumed:
            # A job resumed at step S did not make S steps in its first second.
            self._resumed = True
            self._seen = deque([(now, step)])
        self.step = step
        self._seen.append((now, step))
        while len(self._seen) > 2 and now - self._seen[1][0] > RATE_WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def rate(self) -> float | None:
        """Units a second over the last ten seconds; None before there are two positions."""
        (t0, s0), (t1, s1) = self._seen[0], self._seen[-1]
        return (s1 - s0) / (t1 - t0) if t1 > t0 and s1 > s0 else None

    @property
    def left(self) -> float | None:
        """Seconds left at the present rate; None when nobody can know."""
        rate = self.rate
        if self.total is None or rate is None:
            return None
        return max(self.total - self.step, 0) / rate

    @property
    def share(self) -> float | None:
        """Fraction done, 0 to 1."""
        return min(self.step / self.total, 1.0) if self.total else None


class LineBar:
    """Plain lines, at most one every five seconds, for logs."""

    def __init__(self, job: str, pace: Pace, unit: str, stream: TextIO) -> None:
        self._job, self._pace, self._unit, self._stream = job, pace, unit, stream
        self._told = float("-inf")
        self._told_step: int | None = None
        self._metrics: dict[str, float] = {}

    def update(self, step: int, **metrics: float) -> None:
        """Print a line if the last one is old enough."""
        self._pace.move(step)
        self._metrics |= metrics
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._tell()

    def event(self, text: str) -> None:
        """Print it at once."""
        self._write(text)

    def close(self) -> None:
        """Print the last position unless it was told."""
        if self._pace.step and self._told_step != self._pace.step:
            self._tell()

    def _tell(self) -> None:
        self._told, self._told_step = time.monotonic(), self._pace.step
        self._write("  ".join(filter(None, (position(self._pace, self._unit), figures(self._metrics)))))

    def _write(self, text: str) -> None:
        # Whoever read the lines may have gone (``| head``); the training has not.
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(f"{self._job}: {text}\n")
            self._stream.flush()


class TerminalBar:
    """A bar, a headline with its sparkline, and the other metrics under it."""

    def __init__(self, job: str, pace: Pace, unit: str, headline: str, console: Console) -> None:
        self._job, self._pace, self._unit, self._headline = job, pace, unit, headline
        self._console = console
        self._metrics: dict[str, float] = {}
        self._history = History()

    def update(self, step: int, **metrics: float) -> None:
        """Remember the position and the metrics; the display refreshes by itself."""
        self._pace.move(step)
        # A new dictionary: the refreshing thread may be reading the old one.
        self._metrics = self._metrics | metrics
        if self._headline in metrics:
            self._history.add(float(metrics[self._headline]))

    def event(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(f"  [dim]·[/] {text}")

    def render(self) -> RenderableType:
        """Draw the display; called by the refreshing thread."""
        from rich.console import Group
        from rich.markup import escape
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        pace, where = self._pace, position(self._pace, self._unit)
        bar = ProgressBar(total=pace.total, completed=pace.step, width=28, pulse=pace.total is None or not pace.step)
        row = Table.grid(padding=(0, 1))
        wide = self._console.width >= 44 + len(self._job) + len(where)
        row.add_row(f"  [bold cyan]{self._job}[/]", bar, where if wide else "")
        lines: list[RenderableType] = [row] if wide else [row, f"  {where}"]
        others = dict(self._metrics)
        if self._headline in others:
            value = number(others.pop(self._headline))
            lines.append(f"  [dim]{self._headline}[/] [bold]{value}[/] [green]{self._history.sparkline()}[/]")
        if others:
            lines.append(f"  [dim]{escape(figures(others))}[/]")
        return Group(*lines)


class History:
    """The values of one metric since the start, in at most ``2 * width`` points of equal weight."""

    def __init__(self, width: int = 40) -> None:
        self._width = width
        self._every = 1
        self._pending: list[float] = []
        self._points: list[float] = []

    def add(self, value: float) -> None:
        """Take one more value; when there is no room left, neighbours are averaged."""
        if value != value:
            return
        self._pending.append(value)
        if len(self._pending) < self._every:
            return
        self._points = [*self._points, sum(self._pending) / len(self._pending)]
        self._pending = []
        if len(self._points) >= 2 * self._width:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(left + right) / 2 for left, right in pairs]
            self._every *= 2

    def sparkline(self) -> str:
        """Draw the points as a line of blocks, lowest to highest, no longer than the width."""
        points = self._points
        if len(points) > self._width:
            points = [points[int(i * len(points) / self._width)] for i in range(self._width)]
        if len(points) < 2:
            return ""
        low, high = min(points), max(points)
        span = (high - low) or 1.0
        return "".join(_BARS[int((point - low) / span * (len(_BARS) - 1) + 0.5)] for point in points)


def position(pace: Pace, unit: str) -> str:
    """Say in one line where a counter is: share, position, speed, time gone and left."""
    parts = [f"{pace.step:,}" if pace.total is None else f"{pace.step:,}/{pace.total:,}"]
    parts[0] += f" {unit}"
    if pace.share is not None:
        parts.insert(0, f"{pace.share:4.0%}")
    if pace.rate is not None:
        rate = f"{pace.rate:,.0f}" if pace.rate >= 10 else f"{pace.rate:.2f}"
        parts.append(f"{rate} {unit}/s")
    parts.append(f"{clock(pace.elapsed)} gone")
    if pace.left is not None and pace.left > 0:
        parts.append(f"{clock(pace.left)} left")
    return " · ".join(parts)


def figures(metrics: Mapping[str, float]) -> str:
    """Say metrics in one line."""
    return " · ".join(f"{name} {number(value)}" for name, value in metrics.items())


def number(value: float) -> str:
    """Format a figure for people: about four digits."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def clock(seconds: float) -> str:
    """Format a duration as m:ss, or h:mm:ss above an hour."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
