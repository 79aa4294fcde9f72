"""Runs that somebody watches, read again and again from their journals: each look takes only what is new."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.delivery import read_cursor
from touchline.tracking.journal import FILE_NAME, RESTORE_GAP, Event, JournalReader
from touchline.tracking.route import signature_of
from touchline.tracking.sinks import far_sides
from touchline.tracking.status import RUNNING, fate
from touchline.tracking.sync import run_ids

SPEED_SECONDS = 10.0
"""The speed is that of so many seconds, or of the last two values where they are further apart."""
_EVENTS_A_LOOK = 1_000
"""More than this since the last look are not read: a run that logs each step would take the view's time."""
_MOST_ALERTS = 3
_FAMILIES = ("gpu/", "cost/")
_MARKS = ("start", "end", "tags", "alert")
"""Kinds that are rare and may lie far back; the journal's index finds them."""


@dataclass(frozen=True)
class SinkView:
    """How far one sink has come."""

    name: str
    state: str
    """starting, live, waiting, refused or done."""
    waiting: int
    """Events that it has not confirmed."""
    reason: str
    """Why it waits or refuses, a sentence with the remedy, or empty."""


@dataclass(frozen=True)
class RunView:
    """What is shown of one run."""

    id: str
    name: str
    job: str
    state: str
    """running, or how it ended."""
    reason: str
    """Why it ended, or empty."""
    step: int | None
    """Newest step of the newest attempt."""
    speed: float | None
    """Steps per second of late; None where too little is known or nothing came for too long."""
    logged: float | None
    """When the newest value was logged, in seconds since the epoch."""
    figures: Mapping[str, float]
    """Newest values of the series ``gpu/…`` and ``cost/…``, as the run itself logged them."""
    alerts: tuple[Event, ...]
    """Newest alerts, oldest first."""
    sinks: tuple[SinkView, ...]
    started: float
    """First start, in seconds since the epoch."""
    last_start: float
    """Newest start; later than the first where the run was resumed."""
    ended: float | None
    """When it ended, or last wrote where it did not say; None while it runs."""
    tags: Mapping[str, str]
    warnings: int
    """How many alerts above ``info`` it told in all."""


@dataclass
class _Seen:
    """What is known of one run from all looks so far."""

    position: int | None = None
    step: int | None = None
    points: deque[tuple[float, int]] = field(default_factory=deque)
    figures: dict[str, float] = field(default_factory=dict)

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.kind == "metrics":
                self._take_metrics(event)
            elif event.kind in ("start", "rewind"):
                self.points.clear()
                self.step = self.step if event.step is None else event.step

    def _take_metrics(self, event: Event) -> None:
        if event.step is not None:
            self.step = event.step
            self.points.append((event.time, event.step))
            while len(self.points) > 2 and event.time - self.points[1][0] > SPEED_SECONDS:
                self.points.popleft()
        for name, value in event.payload.items():
            if name.startswith(_FAMILIES):
                self.figures[name] = float(value)


class WatchedRun:
    """One run; ``look`` opens its journal, asks a few short questions and lets go of it."""

    def __init__(self, directory: Path) -> None:
        """``directory``: the run's."""
        self._directory = directory
        self._seen = _Seen()

    def look(self) -> RunView | None:
        """Return the run as it is now, None before its first event; raises TouchlineError without a journal."""
        with JournalReader(self._directory / FILE_NAME) as journal:
            marks = _by_kind(journal.of_kind(_MARKS))
            if not (starts := marks["start"]):
                return None
            start, end = starts[-1], marks["end"][-1] if marks["end"] else None
            state, reason, ended = fate(self._directory, start, end, journal)
            newest = journal.last_seq()
            self._read(journal, newest)
        seen = self._seen
        names = far_sides(start.payload.get("sinks", {}))
        return RunView(
            id=self._directory.name,
            name=str(start.payload["name"]),
            job=str(start.payload["job"]),
            state=state,
            reason=reason,
            step=seen.step,
            speed=speed(seen.points, time.time()),
            logged=seen.points[-1][0] if seen.points else None,
            figures=dict(seen.figures),
            alerts=tuple(marks["alert"][-_MOST_ALERTS:]),
            sinks=tuple(_sink(self._directory, name, newest) for name in names),
            started=starts[0].time,
            last_start=start.time,
            ended=ended,
            tags={name: str(value) for event in marks["tags"] for name, value in event.payload.items()},
            warnings=sum(event.payload.get("level") != "info" for event in marks["alert"]),
        )

    def _read(self, journal: JournalReader, newest: int) -> None:
        oldest = newest - _EVENTS_A_LOOK
        position = oldest if self._seen.position is None else self._seen.position
        events = journal.after(max(position, oldest), _EVENTS_A_LOOK)
        if self._seen.position is None and not any(event.kind == "metrics" for event in events):
            events = [*filter(None, [journal.newest("metrics")]), *events]
        self._seen.take(events)
        self._seen.position = newest


class WatchedHome:
    """The runs of a home that are running, and those that ended while somebody watched."""

    def __init__(self, settings: Settings) -> None:
        """``settings`` say where the home is; one that is not there has no runs."""
        self._settings = settings
        self._runs: dict[str, WatchedRun] = {}
        self._over: dict[str, tuple[int, ...]] = {}
        self._ended: dict[str, RunView] = {}

    def look(self) -> tuple[tuple[RunView, ...], tuple[str, ...]]:
        """Return the runs, oldest first, and a sentence for each journal that cannot be read."""
        views: list[RunView] = []
        sentences: list[str] = []
        for run_id in run_ids(self._settings):
            try:
                view = self._look(run_id)
            except TouchlineError as error:
                sentences.append(str(error))
            except FileNotFoundError:  # removed this moment
                continue
            else:
                views += [view] if view is not None else []
        return tuple(views), tuple(sentences)

    def _look(self, run_id: str) -> RunView | None:
        directory = self._settings.run_directory(run_id)
        # A run that is over, with an unchanged journal, is still over: a home may hold thousands of them.
        signature = signature_of(directory)
        if self._over.get(run_id) == signature:
            return self._ended.get(run_id)
        watched = self._runs.setdefault(run_id, WatchedRun(directory))
        view = watched.look()
        if view is not None and view.state == RUNNING:
            self._ended[run_id] = view
            return view
        self._over[run_id] = signature
        if view is not None and run_id in self._ended:
            self._ended[run_id] = view
            return view
        del self._runs[run_id]
        return None


def _by_kind(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {kind: [] for kind in _MARKS}
    for event in events:
        found[event.kind].append(event)
    return found


def speed(points: Sequence[tuple[float, int]], now: float) -> float | None:
    """Steps per second over ``points``, each (seconds since the epoch, step), oldest first.

    None where they do not move, or where the next one is overdue by more than twice the usual pause.
    """
    if len(points) < 2:
        return None
    (began, first), (ended, last) = points[0], points[-1]
    if not (ended > began and last > first):
        return None
    pause = (ended - began) / (len(points) - 1)
    return None if now - ended > max(SPEED_SECONDS, 3.0 * pause) else (last - first) / (ended - began)


def _sink(directory: Path, name: str, newest: int) -> SinkView:
    cursor = read_cursor(directory, name)
    # Counted from the numbers, for rows would be counted anew at each look; only a restored copy leaves a gap.
    waiting = max(newest - cursor.delivered, 0) % RESTORE_GAP
    state = "live" if cursor.state == "done" and waiting else cursor.state
    return SinkView(name, state, waiting, cursor.reason)
