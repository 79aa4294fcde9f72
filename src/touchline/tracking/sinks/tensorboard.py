"""Delivery to TensorBoard: event files in the run's own directory, written without TensorFlow or torch."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.rewind import Timeline
from touchline.tracking.sinks.base import RunInfo, SetAside
from touchline.tracking.sinks.tensorboard_summary import hparams_end, hparams_start, summary_of

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

DIRECTORY = "tensorboard"
_PREFIX = "events.out.tfevents"


class TensorboardSink:
    """Writes ``runs/<id>/tensorboard/``; ``tensorboard --logdir <home>/runs`` shows every run of a home."""

    name = "tensorboard"
    append_only = False

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""

    def check(self) -> None:
        """A directory of the home can always be written, or ``open`` says why not."""

    def open(self, run: RunInfo, delivered: int, sent: int) -> TensorboardSession:
        """Begin the run's event file anew.

        An event file has no keys by which a replay could be recognised, and the journal is at hand: writing it
        again from the start is the simplest way to have every point exactly once.
        """
        directory = run.directory / DIRECTORY
        directory.mkdir(exist_ok=True)
        return TensorboardSession(run, directory)


class TensorboardSession:
    """One open event file; a rewind begins the next one, with the newest attempt alone."""

    url = ""
    resume_from = 0

    def __init__(self, run: RunInfo, directory: Path) -> None:
        self.remote_id = str(directory)
        self._run = run
        self._directory = directory
        self._done = 0
        self._last_time = run.started
        self._params: dict[str, Any] = {}
        self._refused: dict[int, SetAside] = {}
        with JournalReader(run.directory / FILE_NAME) as journal:
            self._timeline = Timeline.of(journal.of_kind(["rewind"]))
        self._file = self._begin()

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Write the events and flush them to disk."""
        for event in events:
            if event.seq <= self._done:
                continue
            if event.kind == "rewind" and event.seq > self._timeline.newest:
                self._rewrite(event)
            self._write(event)
            self._done = event.seq
        self._file.flush()
        refused, self._refused = list(self._refused.values()), {}
        return refused

    def acknowledged(self) -> int:
        """Newest written sequence number."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Nothing: every session begins anew."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Tell the HParams page how the run ended and close the file."""
        if not self._file.closed:
            if self._params:
                self._file.add(hparams_end(status, self._last_time), self._last_time, 0)
            self._file.close()

    def release(self) -> None:
        """Close the file."""
        self._file.close()

    def _rewrite(self, rewind: Event) -> None:
        """Begin a new file with what a rewind leaves of the run so far."""
        self._file.close()
        self._timeline = Timeline([*self._timeline.rewinds, *Timeline.of([rewind]).rewinds])
        self._params = {}
        self._file = self._begin()
        with JournalReader(self._run.directory / FILE_NAME) as journal:
            for event in journal.all():
                if event.seq >= rewind.seq:
                    break
                self._write(event)
        self._refused.clear()

    def _begin(self) -> EventFile:
        """Open a file whose name sorts after the earlier ones, which go.

        Not under the same name, and the last one stays as an empty file: a TensorBoard that is open reads its file
        to the end before it looks for the next.
        """
        old = sorted(self._directory.glob(f"{_PREFIX}.*"))
        numbers = [int(found[1]) for path in old if (found := re.search(r"\.tfevents\.\d+\.(\d{6})\.", path.name))]
        file = EventFile(self._directory / self._name(max(numbers, default=0) + 1), self._run.started)
        file.forget()
        for path in old[:-1]:
            path.unlink()
        for path in old[-1:]:
            os.truncate(path, 0)
        return file

    def _write(self, event: Event) -> None:
        if not self._timeline.is_current(event):
            return
        self._last_time = event.time
        try:
            summary = summary_of(event, self._run.directory)
        except (OSError, ValueError, KeyError, TypeError, TouchlineError) as error:
            self._refused[event.seq] = SetAside(event.seq, f"{event.kind}: {str(error)[:300]}")
            return
        if summary is not None:
            self._file.add(summary, event.time, event.step or 0)
        if event.kind == "params":
            self._params.update(event.payload)
            self._write_hparams()

    def _write_hparams(self) -> None:
        """Write all parameters so far to a file of its own, because TensorBoard believes the first ones it reads.

        It reads the files of a run in the order of their names, so this one comes first.
        """
        partial = self._directory / f".{self._run.id}.partial"
        file = EventFile(partial, self._run.started)
        file.add(hparams_start(self._params, self._run.id, self._run.started), self._run.started, 0)
        file.close()
        partial.replace(self._directory / self._name(0))

    def _name(self, number: int) -> str:
        return f"{_PREFIX}.{int(self._run.started):010d}.{number:06d}.{socket.gethostname()}.{self._run.id}"


class EventFile:
    """One file of TensorBoard's records."""

    def __init__(self, path: Path, started: float) -> None:
        """``started`` in seconds since the epoch."""
        from tensorboard.compat.proto.event_pb2 import Event as Record
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._record = Record
        self._started = started
        self._file: IO[bytes] = path.open("wb")
        self._writer = RecordWriter(self._file)
        self._put(Record(wall_time=started, file_version="brain.Event:2"))

    def forget(self) -> None:
        """Let whoever has read an earlier file of the run forget what it said."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._put(self._record(wall_time=self._started, step=0, session_log=SessionLog(status=SessionLog.START)))

    @property
    def closed(self) -> bool:
        """True once nothing can be written any more."""
        return self._file.closed

    def add(self, summary: Summary, moment: float, step: int) -> None:
        """Write a summary; ``moment`` in seconds since the epoch."""
        self._put(self._record(wall_time=moment, step=step, summary=summary))

    def flush(self) -> None:
        """Hand what was written to the operating system, where readers find it."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, record: Any) -> None:
        self._writer.write(record.SerializeToString())
