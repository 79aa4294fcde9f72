"""Writing a snapshot beside the training: into a staged directory, proven, put in place, old ones removed."""

from __future__ import annotations

import errno
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from touchline.checkpoint import snapshot as files
from touchline.checkpoint.manifest import AnotherFormat, Damaged, write_manifest
from touchline.checkpoint.names import Skipped, free_name, names_in, order
from touchline.checkpoint.retention import Entry, Retention, kept
from touchline.checkpoint.storage import Storage, discard
from touchline.errors import TouchlineError

logger = logging.getLogger("touchline")

RESERVE_BYTES = 64_000_000
"""A save leaves so much of a disk free: a journal and a training's own files need some."""


class NotSaved(TouchlineError):
    """A checkpoint that could not be written; the ones before are as they were."""


class Recording(Protocol):
    """What the store uses of a Touchline run."""

    id: str

    def save_journal(self, directory: Path | str, step: int | None = None) -> Path:
        """Put a copy of the run's history into a checkpoint."""
        ...

    def alert(self, title: str, text: str = "", level: Any = "warn") -> None:
        """Tell people."""
        ...


class Saver:
    """Writes one snapshot at a time, in a thread of its own."""

    def __init__(self, storage: Storage, location: str, retention: Retention, run: Recording | None) -> None:
        self._storage, self._location, self._retention, self.run = storage, location, retention, run
        self._thread: threading.Thread | None = None
        self._failure: NotSaved | None = None
        self._proven: set[str] = set()
        self._abandoned: set[str] = set()
        self._told_of_later = False
        self.seconds = math.nan
        """How long the last save took until it was durable."""
        self.newest = ""
        """Name of the last durable save."""

    def begin(self, snapshot: files.Snapshot, about: Mapping[str, Any]) -> None:
        """Start to write ``snapshot``, which must not change before that is done."""
        self._failure = None
        # Not a daemon: the interpreter waits for it, so that the last save of a training is whole.
        self._thread = threading.Thread(target=self._write, args=(snapshot, about), name="touchline-checkpoint")
        self._thread.start()

    @property
    def is_writing(self) -> bool:
        """Whether a save is on its way to the disk."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being written; returns whether that is so."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.is_writing

    def raise_failure(self) -> None:
        """Raise what the last save failed with, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def go_on_from(self, name: str) -> None:
        """Take it that ``name`` is intact, and that the next save replaces what lies after it."""
        self._proven = {name}
        self._abandoned = {other for other in names_in(self._storage) if order(other) > order(name)}

    def _write(self, snapshot: files.Snapshot, about: Mapping[str, Any]) -> None:
        began = time.monotonic()
        try:
            name = self._publish(snapshot, about)
        except Exception as error:  # whatever it is, the training goes on, and nobody else would hear of it here
            self._failed(snapshot.step, error)
            return
        self.seconds, self.newest = time.monotonic() - began, name
        self._proven.add(name)
        try:
            self._retain(name)
        except Exception as error:
            logger.warning("Old checkpoints in %s could not be removed (%s).", self._location, error)

    def _publish(self, snapshot: files.Snapshot, about: Mapping[str, Any]) -> str:
        self._storage.sweep()
        staged = self._storage.stage()
        try:
            free = self._storage.free_bytes()
            if free is not None and free < snapshot.size + RESERVE_BYTES:
                raise OSError(
                    errno.ENOSPC,
                    f"the disk has {free / 1e6:,.0f} MB free; {snapshot.size / 1e6:,.0f} MB are needed, and "
                    f"{RESERVE_BYTES / 1e6:,.0f} MB are left to the journal",
                )
            files.write(snapshot, staged)
            self._add_journal(staged, snapshot.step)
            write_manifest(staged, about)
            name = free_name(snapshot.step, names_in(self._storage))
            self._storage.publish(staged, name)
            return name
        finally:
            discard(staged)

    def _add_journal(self, directory: Path, step: int) -> None:
        """Let the checkpoint carry the run's history; without it the weights are still worth saving."""
        if self.run is None:
            return
        try:
            self.run.save_journal(directory, step)
        except TouchlineError as error:
            logger.warning("%s The checkpoint of step %s goes without the journal.", error, f"{step:,}")

    def _failed(self, step: int, error: Exception) -> None:
        self._failure = NotSaved(
            f"The checkpoint of step {step:,} could not be written to {self._location} ({_reason(error)}); "
            f"the earlier ones are as they were. {_remedy(error)}; the training goes on."
        )
        if self.run is None:
            logger.warning("%s", self._failure)
            return
        try:
            self.run.alert("Checkpoint not saved", str(self._failure), "error")
        except TouchlineError as problem:  # of a run that has ended
            logger.warning("%s %s", self._failure, problem)

    def _retain(self, newest: str) -> None:
        """Delete what the rule does not keep; only intact ones count as kept, and ``newest`` stays in any case."""
        step = order(newest)[0]
        entries = []
        for name in names_in(self._storage):
            superseded = name != newest and (order(name)[0] == step or name in self._abandoned)
            try:
                entry = None if superseded else self._entry(name)
            except AnotherFormat as error:
                logger.warning("%s It is left alone.", Skipped(self._storage.where(name), str(error)))
                continue
            if entry is None:
                self._storage.delete(name)
            else:
                entries.append(entry)
        self._tell_of_later(newest, entries)
        stays = {newest, *kept(self._retention, entries)}
        for entry in entries:
            if entry.name not in stays:
                self._storage.delete(entry.name)
        self._abandoned.clear()
        self._proven &= stays

    def _tell_of_later(self, newest: str, entries: Sequence[Entry]) -> None:
        """Without ``restore``, a training in a directory of another one would be followed by that one's state."""
        later = [f"{entry.step:,}" for entry in entries if order(entry.name) > order(newest)]
        if later and not self._told_of_later:
            self._told_of_later = True
            logger.warning(
                "%s has checkpoints of later steps (%s) than the one just saved, from which this training did not "
                "go on, and a restart would. Begin with restore_or(state), or save into an empty directory.",
                self._location,
                ", ".join(later),
            )

    def _entry(self, name: str) -> Entry | None:
        """What an intact checkpoint says of itself; None for a damaged one."""
        try:
            if name not in self._proven:
                self._storage.check(name)
                self._proven.add(name)
            about = self._storage.manifest(name).about
        except Damaged as error:
            logger.warning("%s It is removed.", Skipped(self._storage.where(name), str(error)))
            return None
        return Entry(name, order(name)[0], about["metrics"])


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, TouchlineError) else f"{type(error).__name__}: {error}"


def _remedy(error: Exception) -> str:
    if not isinstance(error, OSError):
        return "Nothing was changed there"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "Free some space" if full else "Make it writable"
