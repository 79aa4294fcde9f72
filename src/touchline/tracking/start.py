"""Opening a run: a new one, one that goes on, or one restored from a checkpoint of another machine."""

from __future__ import annotations

import contextlib
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

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.filesystem import create_private, make_private, refuse_network_filesystem
from touchline.masking import mask_arguments
from touchline.redaction import holds_secret, remember
from touchline.tracking.capture import check_parts
from touchline.tracking.events import slug
from touchline.tracking.exit import listen
from touchline.tracking.journal import FILE_NAME, RESTORE_GAP, Journal, JournalReader, unwritable
from touchline.tracking.launch import destination
from touchline.tracking.one_route import refusal
from touchline.tracking.ownership import RunLock
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.ranks import SilentRun, launch_of, rank_of, tell_silence
from touchline.tracking.rewind import Timeline
from touchline.tracking.run import Run
from touchline.tracking.sinks import CONSOLE, far_sides, known_sinks
from touchline.tracking.steps import Logged, StepIndex
from touchline.tracking.thinning import seconds_by_sink
from touchline.tracking.writer import Durability, JournalWriter, Overflow

logger = logging.getLogger("touchline")
LONGEST_ID = 128
"""Characters of a run's id; W&B takes no more."""
_LONGEST_JOB = 80
"""Characters of the job's name in an id."""

listen()


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
    shown = CONSOLE in settings.sinks
    settings = replace(settings, sinks=far_sides(settings.sinks))
    seconds_by_sink((*settings.thin_seconds, *settings.gather_seconds))
    check_parts(settings.capture)
    rank = rank_of(os.environ)
    if rank and not settings.all_ranks:
        tell_silence(rank)
        return SilentRun(job, settings, rank)
    suffix = "" if rank is None or not settings.all_ranks else f"-rank{rank}"
    if suffix:
        group = group or run_id or launch_of(os.environ) or job
    if run_id is not None:
        run_id += suffix
    if isinstance(resume, str | Path):
        run_id = _id_in(Path(resume), run_id)
    elif run_id is None and resume is not None:
        raise UsageError(f"To go back to step {resume}, start_run needs the run_id of the run that goes back.")
    remember(settings.mlflow_tracking_uri, settings.mlflow_registry_uri, settings.wandb_base_url)
    if run_id is not None and holds_secret(run_id):
        raise UsageError("The run id holds a secret: a password or a key of the environment. Give another one.")
    if run_id is not None and run_id != slug(run_id):
        raise UsageError(f"The run id {run_id!r} is no file name. Use letters, digits, dots, '-' and '_' only.")
    if run_id is not None and len(run_id) > LONGEST_ID:
        raise UsageError(f"The run id {run_id!r} has {len(run_id)} characters. Give at most {LONGEST_ID}.")
    directory = _directory(settings, run_id, f"{slug(job)[:_LONGEST_JOB]}{suffix}")
    run_id, file, lock = directory.name, directory / FILE_NAME, RunLock(directory)
    refuse_network_filesystem(directory)
    _take(lock, file)
    try:
        past = _past(directory, resume)
        if past is not None:
            settings = _on_its_route(settings, directory)
        journal = Journal(file)
    except BaseException:
        lock.release()
        raise
    writer = JournalWriter(
        journal,
        capacity=settings.queue_bytes,
        overflow=settings.overflow,
        durability=settings.durability,
        steps=_index(file, past),
        lock=lock,
    )
    run = Run(run_id, job, directory, settings, writer)
    run.resumed = past is not None
    _begin(run, name or run_id, past, group or "", parent.id if isinstance(parent, Run) else parent or "")
    if config is not None and past is None:
        run.log_params(config)
    if tags:
        run.set_tags(tags)
    run._start_capture()
    run._start_couriers(settings.sinks)
    if shown:
        run._show()
    return run


def _directory(settings: Settings, run_id: str | None, job: str) -> Path:
    """Create the run's directory: that of ``run_id``, or a new one that no other process makes at the same moment."""
    try:
        if run_id is not None:
            directory = settings.run_directory(run_id).absolute()
            return make_private(directory)
        make_private(settings.runs.absolute())  # a file in its way is not a run that is there already
        while True:
            run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{job}-{secrets.token_hex(2)}"
            directory = settings.run_directory(run_id).absolute()
            try:
                return make_private(directory, exist_ok=False)
            except FileExistsError:
                continue
    except OSError as error:
        raise unwritable(settings.run_directory(run_id or job) / FILE_NAME, error) from error


def _take(lock: RunLock, file: Path) -> None:
    try:
        if lock.acquire():
            return
    except OSError as error:
        raise unwritable(file, error) from error
    raise _is_written(file)


def _is_written(file: Path) -> TouchlineError:
    owner = None
    with contextlib.suppress(TouchlineError), JournalReader(file) as journal:
        if (start := journal.newest("start")) is not None:
            owner = start.payload["process"]["pid"]
    return TouchlineError(
        f"The run {file.parent.name} is being written by {f'process {owner}' if owner else 'another process'}. "
        "End that one first, or start a run of another id."
    )


def _past(directory: Path, resume: int | Path | str | None) -> _Past | None:
    """Find what an earlier process left, restoring a checkpoint's copy where there is nothing; None if new."""
    file = directory / FILE_NAME
    if isinstance(resume, str | Path):
        _restore_where_needed(Path(resume) / FILE_NAME, file)
    if not file.exists():
        if resume is not None:
            raise UsageError(
                f"There is no run {directory.name} in {directory.parent} that could go back to step {resume}. "
                "Give the directory of a checkpoint, or start without resume."
            )
        return None
    with JournalReader(file) as journal:
        start, end = journal.newest("start"), journal.newest("end")
        last_step = journal.highest_step()
    if start is None:
        return None
    restored = _restored_marker(file).exists()
    owner = ProcessIdentity.from_mapping(start.payload["process"])
    # The lock is the judge, unless someone removed its file; a process that replaced itself by exec has the same id.
    ended = end is not None and end.seq > start.seq
    if not restored and not ended and owner.is_alive() and owner.pid != os.getpid():
        raise _is_written(file)
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


def _restored_marker(file: Path) -> Path:
    return file.with_name("restored")


def _restore_where_needed(copy: Path, file: Path) -> None:
    """Restore a checkpoint's copy of the journal when there is none here, or only a damaged one.

    A mark stays beside it until the run has started, so that a process killed in between changes nothing.
    """
    if file.exists():
        try:
            with JournalReader(file) as journal:
                journal.check()
            return
        except TouchlineError as error:
            aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            logger.warning("%s It is kept as %s, and the checkpoint's copy takes its place.", error, aside.name)
            try:
                file.replace(aside)
                for suffix in ("-wal", "-shm"):
                    file.with_name(file.name + suffix).unlink(missing_ok=True)
            except OSError as problem:
                raise unwritable(file, problem) from problem
    partial = file.with_name(f".{file.name}.partial")
    try:
        create_private(_restored_marker(file))
        shutil.copyfile(copy, create_private(partial))
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
        "command": mask_arguments(sys.argv),
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
    _restored_marker(run.directory / FILE_NAME).unlink(missing_ok=True)
