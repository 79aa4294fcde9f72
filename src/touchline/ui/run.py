"""One run as its page shows it: what its journal says of it, and its curves, looked at again and again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.report.charts import Charts, describe, learning, line_of, machine, marks_of
from touchline.report.facts import Facts, Mark, read_facts
from touchline.report.live import LiveCurves
from touchline.report.page import undelivered
from touchline.report.subject import Subject
from touchline.report.words import Head, head, tiles
from touchline.tracking.journal import FILE_NAME
from touchline.tracking.sync import run_ids
from touchline.tracking.watched import WatchedRun

READ_SECONDS = 0.4
"""A look reads about so long; the next one goes on, so that a run of a million points appears piece by piece."""
SHARE = 0.05
"""Of the time, for reading again what is not a curve: its cost grows with the journal."""
MOST_TOLD = 50
MOST_RUNS = 8
"""Runs whose curves are kept in memory, those that were looked at last."""


@dataclass(frozen=True)
class Seen:
    """What is known of a run after a look."""

    facts: Facts
    head: Head
    tiles: tuple[tuple[str, str, str], ...]
    undelivered: tuple[str, ...]
    is_whole: bool
    """Whether all of the journal's curves have been read."""
    layout: str
    """Equal while there are the same charts."""
    cursor: int

    @property
    def told(self) -> tuple[tuple[Facts, Mark], ...]:
        """The newest MOST_TOLD alerts and decisions, the newest first."""
        marks = sorted((*self.facts.alerts, *self.facts.decisions), key=lambda mark: mark.time, reverse=True)
        return tuple((self.facts, mark) for mark in marks[:MOST_TOLD])

    @property
    def tracks(self) -> tuple[str, ...]:
        """Every sink that the run has."""
        return tuple(sink.sink for sink in self.facts.status.sinks)


class WatchedPage:
    """One run; any thread may ask."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        """``run_id``: of a run in the home of ``settings``."""
        self._directory = settings.run_directory(run_id)
        self._watched = WatchedRun(self._directory)
        self._live = LiveCurves(self._directory / FILE_NAME)
        self._facts: Facts | None = None
        self._next_facts = 0.0
        self._lock = threading.Lock()

    def look(self) -> Seen:
        """Read what is new. Raises TouchlineError when the journal cannot be read."""
        with self._lock, readable(self._directory.name):
            return self._look()

    def charts(self) -> tuple[Seen, Charts, Charts]:
        """Look, and return all charts as the report has them: of learning, of machine and cost."""
        with self._lock, readable(self._directory.name):
            seen = self._look()
            mine = {seen.facts.id: self._live.curves()}
            return seen, learning("learning", mine, seen.facts, seen.facts.alerts), machine([seen.facts], mine)

    def changes(self, since: int) -> tuple[Seen, Mapping[str, Any], list[dict[str, Any]]]:
        """Look, and return what came to the curves after the cursor ``since``, by metric, and all alerts.

        Both as the page's script takes them.
        """
        with self._lock, readable(self._directory.name):
            seen = self._look()
            began = seen.facts.status.started
            lines = {
                name: {
                    "first": change.first,
                    "line": line_of(name, change.curve, began),
                    "summary": describe(change.curve),
                }
                for name, change in self._live.changes(since).items()
            }
            return seen, lines, marks_of(seen.facts.alerts, began)

    def _read_facts(self) -> Facts:
        now = time.monotonic()
        if self._facts is None or now >= self._next_facts:
            self._facts = read_facts(self._directory)
            took = time.monotonic() - now
            self._next_facts = now + max(took / SHARE, 1.0)
        return self._facts

    def _look(self) -> Seen:
        facts = self._read_facts()
        is_whole = self._live.advance(READ_SECONDS)
        view = self._watched.look()
        told = list(tiles([facts], {facts.id: self._live.last()}))
        if view is not None and view.speed is not None:
            told.insert(1, ("steps a second", pace(view.speed), "of late"))
        subject = Subject("run", facts.id, (facts.id,))
        return Seen(
            facts=facts,
            head=head(subject, [facts], ()),
            tiles=tuple(told),
            undelivered=undelivered([facts]),
            is_whole=is_whole,
            layout=str(hash((self._live.layout(), tuple(facts.goals.items())))),
            cursor=self._live.cursor,
        )


@dataclass
class Pages:
    """The runs that somebody looks at."""

    settings: Settings
    _pages: OrderedDict[str, WatchedPage] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, run_id: str) -> WatchedPage:
        """The run's. Raises TouchlineError where the home has no such run."""
        # Only what a listing of the home has is ever joined to a path.
        if run_id not in known_runs(self.settings):
            raise TouchlineError(f"There is no run {run_id!r} in {self.settings.home}. Its runs are listed on /.")
        with self._lock:
            page = self._pages.pop(run_id, None) or WatchedPage(self.settings, run_id)
            self._pages[run_id] = page
            while len(self._pages) > MOST_RUNS:
                self._pages.popitem(last=False)
            return page


def known_runs(settings: Settings) -> list[str]:
    """Ids of all runs of the home, oldest first. Raises TouchlineError when its directory cannot be read."""
    try:
        return run_ids(settings)
    except OSError as error:
        raise TouchlineError(f"The runs in {settings.runs} cannot be listed ({error.strerror or error}).") from error


@contextmanager
def readable(run_id: str) -> Iterator[None]:
    """Turn what a journal raises that vanishes, or is not as we write it, into a TouchlineError."""
    try:
        yield
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise TouchlineError(
            f"The run {run_id} cannot be read ({type(error).__name__}: {error}). See what is left of it with: "
            f"touchline status {run_id}"
        ) from error


def pace(steps: float) -> str:
    """Steps a second in few characters."""
    return f"{steps:,.0f}" if steps >= 100 else f"{steps:.3g}"
