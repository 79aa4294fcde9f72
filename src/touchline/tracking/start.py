"""Opening a run: a new one, one that goes on, or one restored from a checkpoint of another machine."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from touchline.config import Settings, plain
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.events import slug
from touchline.tracking.filesystem import refuse_network_filesystem
from touchline.tracking.journal import FILE_NAME, RESTORE_GAP, Journal, JournalReader, unwritable
from touchline.tracking.launch import destination
from touchline.tracking.one_route import refusal
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.ranks import SilentRun, rank_of
from touchline.tracking.rewind import Timeline
from touchline.tracking.run import Run
from touchline.tracking.sinks import known_sinks
from touchline.tracking.steps import Logged, StepIndex
from touchline.tracking.thinning import thin_seconds
from touchline.tracking.writer import Durability, JournalWriter, Overflow

logger = logging.getLogger("touchline")


@dataclass(frozen=True)
class _Past:
    """What an earlier process left of the run."""

    step: int | None = None
    """Go back to this step; None goes on at the end."""
    restored: bool = False
    last_step: int | None = None
    """Highest step in the journal."""


def start_run(
    job: str,
    *,
    name: str | None = None,
    config: Any = None,
    tags: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    run_id: str | None = None,
    group: str | None = None,
    parent: Run | str | None = None,
    resume: int | Path | str | None = None,
    durability: Durability | None = None,
    overflow: Overflow | None = None,
) -> Run:
    """Open a run, start its couriers and return at once, whatever the network does.

    ``config`` (a dataclass or a mapping) becomes the run's parameters. ``run_id`` continues the run of that
    name, or names a new one. ``group`` names runs that belong together, ``parent`` (a run or its id) the one this
    is nested in. ``resume`` is a training step, or a checkpoint's directory that ``Run.save_journal`` wrote to: the
    run goes back to that step, keeps its id on every track, and what it logged after the step is superseded; a
    journal that is not on this machine is restored from the checkpoint. ``durability`` and ``overflow`` override
    the settings. In a distributed training the processes of other ranks than 0 get a run that records nothing.

    Raises TouchlineError when the run's directory cannot be written or when a living process already writes this
    run; UsageError when there is nothing to resume from.
    """
    settings = settings or Settings.load()
    settings = replace(settings, durability=durability or settings.durability, overflow=overflow or settings.overflow)
    known_sinks(settings.sinks)
    thin_seconds(settings.thin_seconds)
    rank = rank_of(os.environ)
    if rank and not settings.all_ranks:
        return SilentRun(job, settings, rank)
    if rank is not None and settings.all_ranks and run_id is not None:
        run_id = f"{run_id}-rank{rank}"
    if isinstance(resume, str | Path):
        run_id = _id_in(Path(resume), run_id)
    elif run_id is None:
        if resume is not None:
            raise UsageError(f"To go back to step {resume}, start_run needs the run_id of the run that goes back.")
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(job)}-{secrets.token_hex(2)}"
    if run_id != slug(run_id):
        raise UsageError(f"The run id {run_id!r} is no file name. Use letters, digits, dots, '-' and '_' only.")
    directory = settings.run_directory(run_id).absolute()
    file = directory / FILE_NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(file, error) from error
    refuse_network_filesystem(directory)
    past = _past(directory, resume)
    if past is not None:
        settings = _on_its_route(settings, directory)
    journal = Journal(file)
    writer = JournalWriter(
        journal,
        capacity=settings.queue_bytes,
        overflow=settings.overflow,
        durability=settings.durability,
        steps=_index(file, past),
    )
    run = Run(run_id, job, directory, settings, writer)
    _begin(run, name or run_id, past, group or "", parent.id if isinstance(parent, Run) else parent or "")
    if config is not None and past is None:
        run.log_params(plain(config))
    if tags:
        run.set_tags(tags)
    run._start_couriers()
    return run


def _past(directory: Path, resume: int | Path | str | None) -> _Past | None:
    """Find what an earlier process left, restoring a checkpoint's copy where there is nothing; None if new."""
    file = directory / FILE_NAME
    restored = False
    if not file.exists() and isinstance(resume, str | Path):
        _restore(Path(resume) / FILE_NAME, file)
        restored = True
    if not file.exists():
        if resume is not None:
            raise UsageError(
                f"There is no run {directory.name} in {directory.parent} that could go back to step {resume}. "
                "Give the directory of a checkpoint, or start without resume."
            )
        return None
    with JournalReader(file) as journal:
        start, end = journal.newest("start"), journal.newest("end")
        last_step = journal.last_step()
    if start is None:
        return None
    owner = ProcessIdentity.from_mapping(start.payload["process"])
    if not restored and owner.is_alive() and (end is None or end.seq < start.seq):
        raise TouchlineError(
            f"The run {directory.name} is being written by process {owner.pid}. End that one first, "
            "or start this one without its run_id."
        )
    step = _step_in(Path(resume)) if isinstance(resume, str | Path) else resume
    return _Past(step, restored, last_step)


def _on_its_route(settings: Settings, directory: Path) -> Settings:
    """The settings without a sink to which the run was begun on another route; the journal keeps what it logs."""
    refusals = {sink: refusal(directory, sink, settings) for sink in settings.sinks}
    for sentence in filter(None, refusals.values()):
        logger.warning("%s. The journal keeps what the run logs now.", sentence)
    return replace(settings, sinks=tuple(sink for sink in settings.sinks if refusals[sink] is None))


def _id_in(checkpoint: Path, run_id: str | None) -> str:
    """Id of the run whose journal a checkpoint holds; raises UsageError when it has none, or another."""
    file = checkpoint / FILE_NAME
    if not file.is_file():
        raise UsageError(
            f"There is no copy of a journal in {checkpoint} to resume from. Name a directory that "
            "run.save_journal(directory) wrote to."
        )
    with JournalReader(file) as journal:
        start = journal.newest("start")
    if start is None:
        raise UsageError(f"The journal in {checkpoint} holds no run. Resume from another checkpoint.")
    found = str(start.payload["run_id"])
    if run_id is not None and run_id != found:
        raise UsageError(f"The checkpoint {checkpoint} belongs to run {found}, not to {run_id}. Leave run_id out.")
    return found


def _step_in(checkpoint: Path) -> int:
    with JournalReader(checkpoint / FILE_NAME) as journal:
        saved = journal.newest("checkpoint")
    if saved is None or saved.step is None:
        raise UsageError(f"The journal in {checkpoint} was not written by run.save_journal(). Give the step instead.")
    return saved.step


def _restore(copy: Path, file: Path) -> None:
    partial = file.with_name(f".{file.name}.partial")
    try:
        shutil.copyfile(copy, partial)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(file, error) from error


def _index(file: Path, past: _Past | None) -> StepIndex:
    if past is None or past.last_step is None:
        return StepIndex()

    def load() -> Iterable[Logged]:
        with JournalReader(file) as journal:
            timeline = Timeline.of(journal.of_kind(["rewind"]))
            for event in journal.all():
                if event.kind == "metrics" and event.step is not None and timeline.is_current(event):
                    yield tuple(event.payload), event.step

    # What comes after the step gone back to is new, whatever was logged there before.
    floor = past.last_step if past.step is None else min(past.step, past.last_step)
    return StepIndex(floor, load)


def _begin(run: Run, name: str, past: _Past | None, group: str, parent: str) -> None:
    settings, writer = run.settings, run._writer
    if past is not None and past.restored:
        writer.skip(RESTORE_GAP)
    payload = {
        "run_id": run.id,
        "job": run.job,
        "name": name,
        "project": settings.project,
        "group": group,
        "parent": parent,
        "process": ProcessIdentity.current().to_mapping(),
        "sinks": {sink: destination(sink, settings) for sink in settings.sinks},
        "resumed": past is not None,
        "command": sys.argv,
        "host": socket.gethostname(),
    }
    writer.put("start", payload)
    if past is not None and past.step is not None:
        writer.put("rewind", {"restored": past.restored, "from": past.last_step}, past.step)
        run._step = past.step
    elif past is not None and past.last_step is not None:
        run._step = past.last_step
    if not writer.flush(10.0):
        raise writer.error or unwritable(run.directory / FILE_NAME, OSError("no answer within 10 s"))
