"""Bringing runs of a source into the home: a journal each, whole or not at all, and once."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import create_private, make_private, refuse_network_filesystem
from touchline.masking import mask_arguments
from touchline.migration import source
from touchline.migration.copies import Copies, begins_as, run_id_of
from touchline.migration.counting import TAGS_OF_OURS, count
from touchline.migration.source import Ending, Omission, Row, SourceRun
from touchline.tracking.delivery import Cursor, read_cursor, write_cursor
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, Journal, unwritable
from touchline.tracking.launch import destination
from touchline.tracking.process import ProcessIdentity

HAS_IT_ALREADY = "where the run came from"
"""Destination of a sink that an imported run is not delivered to."""
_BATCH = 8_192

State = Literal["imported", "there already", "found", "left out"]


@dataclass(frozen=True)
class Imported:
    """What became of one run of the source."""

    state: State
    """"found" is what a dry run says of a run that it would import."""
    run_id: str = ""
    name: str = ""
    ended_as: str = ""
    in_source: Counter[str] = field(default_factory=Counter)
    in_home: Counter[str] = field(default_factory=Counter)
    omissions: Counter[Omission] = field(default_factory=Counter)
    is_of_other_parts: bool = False
    """The home has it from other folders than these, or in several runs, whatever the counts are."""

    @property
    def is_equal(self) -> bool:
        """True when the home has as much of every kind as the source; in a dry run always, unless it is left out."""
        if self.state == "found":
            return True
        return self.state != "left out" and not self.is_of_other_parts and self.in_source == self.in_home


@dataclass(frozen=True)
class Report:
    """What became of every run of the source."""

    runs: tuple[Imported, ...]

    @property
    def is_equal(self) -> bool:
        """True when nothing is missing anywhere."""
        return all(run.is_equal for run in self.runs)

    def counts(self) -> list[tuple[str, int, int]]:
        """(kind, number in the source, number in the home) of each kind that there is."""
        there = sum((run.in_source for run in self.runs), Counter())
        here = sum((run.in_home for run in self.runs), Counter())
        return [(kind, there[kind], here[kind]) for kind in source.KINDS if there[kind] or here[kind]]


@dataclass(frozen=True)
class Order:
    """What is to be done with the runs of a source."""

    settings: Settings
    sinks: tuple[str, ...]
    """Couriers of these deliver the runs."""
    withheld: tuple[str, ...] = ()
    """Sinks that never get them, because they came from there; ``touchline sync`` takes them for complete."""
    project: str | None = None
    """Replaces the runs' own."""
    dry_run: bool = False
    """Read and count only."""


def import_runs(
    order: Order, runs: Iterable[SourceRun], progress: Callable[[Imported], None] | None = None
) -> Report:
    """Write each run's journal and files into the home, and compare what is there with what was read.

    A run that cannot be read is left out, with the reason. Raises TouchlineError when the home cannot be written, or
    when another import is at work in it.
    """
    done: list[Imported] = []
    with contextlib.nullcontext() if order.dry_run else _alone(order.settings) as staging:
        copies = Copies(order.settings)  # not before: another import may have ended meanwhile
        for run in runs:
            done.append(_import(order, run, staging, copies))
            if progress is not None:
                progress(done[-1])
    return Report(tuple(done))


def _import(order: Order, run: SourceRun, staging: Path | None, copies: Copies) -> Imported:
    try:
        about = run.about()
        there = [order.settings.run_directory(run_id) for run_id in copies.of(about)]
        state: State = "there already" if there else "found"
        directory = there[0] if there else order.settings.run_directory(run_id_of(about))
        if state == "found" and staging is not None:
            _write(order, run, directory.name, staging)
            copies.add(directory.name)
            state = "imported"
        else:
            for _ in run.events(None):
                pass
            if state == "there already" and staging is not None:
                _no_longer_withheld(directory, order.sinks)
    except TouchlineError as error:
        omissions = Counter({Omission("a run", str(error)): 1})
        return Imported("left out", in_source=Counter({source.RUNS: 1}), omissions=omissions)
    in_source = +Counter({source.RUNS: 1, **run.findings.counts})
    in_home = Counter() if state == "found" else +count(directory)
    omissions = Counter(run.findings.omissions)
    of_other_parts = state == "there already" and (len(there) > 1 or not begins_as(directory, about))
    if of_other_parts or (state == "there already" and in_home != in_source):
        omissions[Omission(f"the difference in {about.name}", _remedy(there, of_other_parts))] += 1
    ended_as = run.ending().status
    return Imported(state, directory.name, about.name, ended_as, in_source, in_home, omissions, of_other_parts)


def _remedy(there: Sequence[Path], of_other_parts: bool) -> str:
    """What a run is that was imported before and differs, and how to import it anew."""
    if not of_other_parts:
        return (
            "the run was imported before and is not the same as its source now; to import it anew, delete it in "
            f"MLflow and remove {there[0]}"
        )
    all_of_it = "and import one directory that has the folders of all its sessions"
    if len(there) > 1:
        names = f"{', '.join(map(str, there[:-1]))} and {there[-1]}"
        return (
            f"parts of the run were imported before, as {len(there)} runs; to make one of them, delete them in "
            f"MLflow, remove {names}, {all_of_it}"
        )
    return (
        "the run was imported before from other folders than these, and a run is imported once, so these were not "
        f"added to it; to import it anew, delete it in MLflow, remove {there[0]}, {all_of_it}"
    )


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[Path]:
    """A directory for what is not complete yet; what an interrupted import left there is removed."""
    staging = settings.home / "imports"
    try:
        make_private(staging)
        make_private(settings.runs)
        lock = create_private(staging / "lock").open("ab")
    except OSError as error:
        raise unwritable(staging, error) from error
    refuse_network_filesystem(staging)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TouchlineError(
                f"Another import is at work in the home {settings.home}. Wait for its end, then repeat this one."
            ) from error
        for left in filter(Path.is_dir, staging.iterdir()):
            shutil.rmtree(left)
        yield staging


def _write(order: Order, run: SourceRun, run_id: str, staging: Path) -> None:
    """Write a run aside, and move it into its place once it is complete."""
    partial = staging / run_id
    make_private(partial, exist_ok=False)
    try:
        with contextlib.closing(Journal(partial / FILE_NAME)) as journal:
            events = _events(order, run, run_id, partial)
            while batch := list(itertools.islice(events, _BATCH)):
                journal.append([(kind, step, moment, encode(kind, payload)) for kind, step, moment, payload in batch])
        for sink in order.withheld:
            write_cursor(partial, _complete(sink, journal.last_seq, run.ending()))
        partial.rename(order.settings.run_directory(run_id))
    except (OSError, sqlite3.Error) as error:
        raise unwritable(partial / FILE_NAME, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _events(order: Order, run: SourceRun, run_id: str, directory: Path) -> Iterator[Row]:
    """A run's own events between its start and its end."""
    about, settings = run.about(), order.settings
    start = {
        "run_id": run_id,
        "job": about.job,
        "name": about.name,
        "project": order.project or about.project,
        "group": about.group,
        "parent": run_id_of(about.parent) if about.parent else "",
        "process": ProcessIdentity(0, "", "", about.host).to_mapping(),
        "sinks": {sink: destination(sink, settings) for sink in order.sinks},
        "resumed": False,
        "command": mask_arguments(about.command),
        "host": about.host,
    }
    yield "start", None, about.started, start
    origin = (about.track, about.identity, about.place)
    yield "tags", None, about.started, dict(zip(TAGS_OF_OURS, origin, strict=True))
    yield from run.events(directory)
    ending = run.ending()
    yield "end", None, ending.time, {"status": ending.status, "reason": ending.reason}


def _complete(sink: str, last: int, ending: Ending) -> Cursor:
    return Cursor(sink, HAS_IT_ALREADY, last, last, "done", closed=ending.status)


def _no_longer_withheld(directory: Path, sinks: Iterable[str]) -> None:
    """Let a sink have an earlier import that was withheld from it."""
    for sink in sinks:
        if read_cursor(directory, sink).destination == HAS_IT_ALREADY:
            write_cursor(directory, Cursor(sink))
