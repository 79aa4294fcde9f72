"""All runs of a home as the page lists them: looked at again and again, each look takes only what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from touchline.catalog.lineage import PIPELINE_TAG
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.quantities import duration
from touchline.report.pictures import Stage
from touchline.tracking.route import signature_of
from touchline.tracking.status import RUNNING
from touchline.tracking.watched import RunView, WatchedRun
from touchline.ui.run import known_runs, readable

LOOK_SECONDS = 0.3
"""A look at the home takes about so long, and the next one goes on where it stopped: no page waits for more."""
CHECK_SECONDS = 0.05
"""Of it, for runs that are over: whether they were taken up again, or a sink has more of them."""
PAUSE_SECONDS = 0.5
"""Looks come no faster than this, however many pages ask."""


@dataclass(frozen=True)
class Row:
    """One run of the list."""

    id: str
    view: RunView | None
    """None where its journal cannot be read, or holds nothing yet."""
    trouble: str
    """Why it cannot be read, a sentence with the remedy, or empty."""
    version: int
    """Of the list, when this row became what it is."""

    @property
    def begun(self) -> float:
        """By what the list is sorted: when the run was started or resumed last, in seconds since the epoch."""
        return self.view.last_start if self.view is not None else 0.0


@dataclass(frozen=True)
class Pipeline:
    """One pipeline with its jobs in order."""

    id: str
    begun: float
    stages: tuple[Stage, ...]
    runs: Mapping[str, str]
    """Job → id of its newest run."""


@dataclass(frozen=True)
class List:
    """What is known after a look."""

    rows: tuple[Row, ...]
    """The newest first; those that cannot be read last."""
    unread: int
    """Runs that no look has come to yet."""
    version: int


@dataclass
class _Known:
    watched: WatchedRun
    row: Row | None = None
    signature: tuple[object, ...] | None = None


@dataclass
class Home:
    """The runs of a home; any thread may ask."""

    settings: Settings
    _known: dict[str, _Known] = field(default_factory=dict)
    _version: int = 0
    _last: List = List((), 0, 0)
    _looked: float = float("-inf")
    _place: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> List:
        """Look at what changed, for about LOOK_SECONDS; the newest runs first."""
        with self._lock:
            now = time.monotonic()
            if self._last.unread or now - self._looked >= PAUSE_SECONDS:
                self._last = self._look(now + LOOK_SECONDS)
                self._looked = time.monotonic()
            return self._last

    def _look(self, deadline: float) -> List:
        present = known_runs(self.settings)
        for gone in self._known.keys() - set(present):
            del self._known[gone]
            self._version += 1
        new = [run_id for run_id in present if run_id not in self._known]
        living = [run_id for run_id, known in self._known.items() if _is_living(known.row)]
        for run_id in living:
            self._refresh(run_id)
        while new and time.monotonic() < deadline:
            self._refresh(new.pop())
        # Of the others, which hardly ever change, a look may reach only some; the next goes on behind the last one.
        deadline = min(deadline, time.monotonic() + CHECK_SECONDS)
        over = [run_id for run_id, known in self._known.items() if not _is_living(known.row)]
        for count in range(len(over)):
            if time.monotonic() >= deadline:
                self._place += count
                break
            self._refresh(over[(self._place + count) % len(over)])
        rows = [known.row for known in self._known.values() if known.row is not None]
        rows.sort(key=lambda row: (row.begun, row.id), reverse=True)
        return List(tuple(rows), len(new), self._version)

    def _refresh(self, run_id: str) -> None:
        directory = self.settings.run_directory(run_id)
        known = self._known.setdefault(run_id, _Known(WatchedRun(directory)))
        signature = _signature(directory)
        if known.row is not None and signature == known.signature and not _is_living(known.row):
            return
        view, trouble = None, ""
        try:
            with readable(run_id):
                view = known.watched.look()
        except TouchlineError as error:
            trouble = str(error)
        known.signature = signature
        if known.row is None or (view, trouble) != (known.row.view, known.row.trouble):
            self._version += 1
            known.row = Row(run_id, view, trouble, self._version)


def pipelines(rows: Sequence[Row], jobs: Sequence[str]) -> tuple[Pipeline, ...]:
    """The pipelines that the runs belong to, the newest first; ``jobs``: those of a whole one, in order."""
    found: dict[str, list[RunView]] = {}
    for row in rows:
        if row.view is not None and (name := row.view.tags.get(PIPELINE_TAG)):
            found.setdefault(name, []).append(row.view)
    return tuple(
        sorted(
            (_pipeline(name, views, jobs) for name, views in found.items()), key=lambda one: one.begun, reverse=True
        )
    )


def seconds(view: RunView) -> float:
    """Time from the first start to the end, or to now, pauses included."""
    return max((time.time() if view.ended is None else view.ended) - view.started, 0.0)


def _pipeline(name: str, views: Sequence[RunView], jobs: Sequence[str]) -> Pipeline:
    newest = {view.job: view for view in sorted(views, key=lambda view: view.last_start)}
    total = sum(seconds(view) for view in newest.values()) or 1.0
    stages = tuple(
        Stage(
            job,
            newest[job].state if job in newest else "planned",
            duration(seconds(newest[job])) if job in newest else "",
            seconds(newest[job]) / total if job in newest else 0.0,
            f"/runs/{newest[job].id}" if job in newest else "",
        )
        for job in dict.fromkeys([*jobs, *newest])
    )
    runs = {job: view.id for job, view in newest.items()}
    return Pipeline(name, max(view.last_start for view in views), stages, runs)


def _is_living(row: Row | None) -> bool:
    return row is not None and row.view is not None and row.view.state == RUNNING


def _signature(directory: Path) -> tuple[object, ...]:
    """Equal while neither the journal nor what a sink has of it changed."""
    try:
        cursors = sorted((path.name, path.stat().st_mtime_ns) for path in (directory / "delivery").glob("*.json"))
        return (*signature_of(directory), *cursors)
    except OSError:
        return ()
