"""A native offline run of W&B in the run's own directory, which ``wandb sync`` takes.

The SDK writes its file in blocks of 32 KiB, so a courier that is killed leaves a torn one. The journal is at hand:
each session begins the file anew, with the newest attempt alone, and so does a rewind.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.rewind import Timeline
from touchline.tracking.sinks.base import RunInfo, SetAside
from touchline.tracking.sinks.wandb_events import WandbEvents
from touchline.tracking.sinks.wandb_session import EXIT_CODES

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger("touchline.courier")


def offline_directories(run_directory: Path, run_id: str) -> list[Path]:
    """The native offline runs in a run's directory, as ``wandb sync`` takes them; at most one is complete."""
    return sorted((run_directory / "wandb").glob(f"offline-run-*-{run_id}"))


class WandbOfflineSession:
    """One offline run that is being written."""

    resume_from = 0

    def __init__(self, run: RunInfo, start: Callable[[RunInfo], wandb.Run]) -> None:
        """``start`` opens a new run of the SDK, in offline mode."""
        self.remote_id = run.id
        self._run = run
        self._start = start
        self._newest = 0
        self._handle: wandb.Run | None = None
        with JournalReader(run.directory / FILE_NAME) as journal:
            self._timeline = Timeline.of(journal.of_kind(["rewind"]))
        self._events = self._begin()

    @property
    def url(self) -> str:
        """The directory that ``wandb sync`` takes."""
        return next((str(path) for path in offline_directories(self._run.directory, self._run.id)), "")

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Write the events of the newest attempt."""
        refused: list[SetAside] = []
        for event in events:
            if event.kind == "rewind" and event.seq > self._timeline.newest:
                refused += self._write_anew(event)
            else:
                refused += self._write(event)
            self._newest = event.seq
        return refused

    def acknowledged(self) -> int:
        """Everything handed over: what a kill tears is written anew."""
        return self._newest

    def high_water(self) -> Mapping[str, int]:
        """Nothing is there that this session did not write."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Note the status in the summary and complete the file."""
        assert self._handle is not None
        self._handle.summary.update({"touchline/status": status, "touchline/reason": reason})
        self._handle.finish(exit_code=EXIT_CODES[status])

    def release(self) -> None:
        """Complete the file."""
        assert self._handle is not None
        self._handle.finish(exit_code=0)

    def _begin(self) -> WandbEvents:
        if self._handle is not None:
            self._handle.finish(exit_code=0)
        for old in offline_directories(self._run.directory, self._run.id):
            shutil.rmtree(old)
        self._handle = self._start(self._run)
        return WandbEvents(self._handle, self._run)

    def _write(self, event: Event) -> list[SetAside]:
        if self._timeline.is_current(event):
            try:
                self._events.apply(event)
                return self._events.refused()
            except Exception as error:
                logger.exception("event %s of %s", event.seq, self._run.id)
                return [SetAside(event.seq, f"{event.kind}: {' '.join(str(error).split())[:300]}")]
        return []

    def _write_anew(self, rewind: Event) -> list[SetAside]:
        """Begin again without what ``rewind`` supersedes."""
        refused: list[SetAside] = []
        with JournalReader(self._run.directory / FILE_NAME) as journal:
            self._timeline = Timeline.of(journal.of_kind(["rewind"]))
            self._events = self._begin()
            for event in journal.all():
                if event.seq > rewind.seq:
                    break
                refused += self._write(event)
        return refused
