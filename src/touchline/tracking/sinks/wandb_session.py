"""One run that is open at W&B: rows go to the SDK, and count as delivered when the server's tail has reached them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

from touchline.tracking.journal import Event
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable
from touchline.tracking.sinks.wandb_events import WandbEvents
from touchline.tracking.sinks.wandb_server import Seen, Tail, WandbServer

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger("touchline.courier")

READ_BACK_SECONDS = 2.0
ROWS_AHEAD = 20_000
"""Rows handed to the SDK and not yet seen at the server: more would grow its memory and its files."""
STALLED_SECONDS = 60.0
"""A server that answers and takes no row for so long has lost the SDK's stream, which a fresh process opens again."""
FAILING_SECONDS = 6.0
CONFIRM_SECONDS = 15.0
_POLL_SECONDS = 0.2
UPLOAD_SECONDS = 5.0
"""An artifact gets so long before the next batch goes on without waiting for it."""
EXIT_CODES = {"finished": 0, "failed": 1, "killed": 137, "preempted": 143, "pruned": 0}


class WandbSession:
    """One open W&B run."""

    def __init__(
        self,
        handle: wandb.Run,
        server: WandbServer,
        run: RunInfo,
        events: WandbEvents,
        tail: Tail,
        resume_from: int,
    ) -> None:
        """``tail``: what the SDK goes on from."""
        self.remote_id = str(handle.id)
        self.url = str(handle.url or "")
        self.resume_from = resume_from
        self.is_closed = False
        self._handle = handle
        self._server = server
        self._run = run
        self._events = events
        self._tail = tail
        self._found = tail
        self._seen = Seen.read(run).save(run, row=tail.row)
        self._ahead: deque[int] = deque()
        self._newest = self._done = resume_from
        self._asked = self._moved = time.monotonic()
        self._failing_since: float | None = None

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Hand events to the SDK, which uploads them in the background. Raises SinkUnavailable when it is stuck."""
        self._await_room()
        refused = []
        uploading = frozenset(self._events.uploads())
        for event in events:
            try:
                if event.seq in self._seen.failed:
                    raise RuntimeError("W&B did not take its files")
                if self._events.apply(event):
                    if not self._ahead:
                        self._moved = time.monotonic()
                    self._ahead.append(event.seq)
            except Exception as error:
                logger.exception("event %s of %s", event.seq, self._run.id)
                refused.append(SetAside(event.seq, f"{event.kind}: {' '.join(str(error).split())[:300]}"))
            self._newest = max(self._newest, event.seq)
        self._seen = self._seen.save(self._run, alerted=self._events.alerted)
        return refused + self._events.refused() + self._refused_uploads(uploading)

    def acknowledged(self) -> int:
        """Everything sent, once the server's tail has reached the last history row; else up to that tail."""
        if self._tail.row < self._events.last_row and time.monotonic() - self._asked >= READ_BACK_SECONDS:
            self._read_tail()
        arrived = self._newest if self._tail.row >= self._events.last_row else self._tail.row
        uploads = self._events.uploads()
        if failed := {seq: upload.error for seq, upload in uploads.items() if upload.error}:
            self._seen = self._seen.save(self._run, failed=tuple({*self._seen.failed, *failed}))
            self._abandon()
            raise SinkUnavailable(f"W&B did not take the files of an event ({next(iter(failed.values()))}).")
        self._done = max(self._done, min(arrived, min(uploads, default=arrived + 1) - 1))
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """The training step of the last row that was found when the run was opened, for every metric.

        W&B tells neither the newest step of each metric nor, before a session's end, which metrics it has; so one
        that was logged less often than the last row's counts as told up to there.
        """
        return {} if self._found.global_step is None else {"*": self._found.global_step}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Set ``touchline/status`` in the summary, end the run with its exit code, and read back."""
        self._handle.summary.update({"touchline/status": status, "touchline/reason": reason})
        if alert and self._newest > self._seen.ended:
            self._handle.alert(f"Run {self._run.name} was {status}", reason, level="ERROR", wait_duration=0)
            self._seen = self._seen.save(self._run, ended=self._newest)
        if status == "preempted":
            self._handle.mark_preempting()
        self._finish(EXIT_CODES[status])

    def release(self) -> None:
        """Upload what is handed over; the run is opened again under the same id."""
        self._finish(0)

    def _finish(self, exit_code: int) -> None:
        self.is_closed = True
        try:
            self._handle.finish(exit_code=exit_code)
        except TimeoutError as error:
            raise SinkUnavailable("W&B did not take the last rows in time; they are sent again later.") from error
        deadline = time.monotonic() + CONFIRM_SECONDS
        while True:
            self._read_tail()
            arrived = self._tail.row >= self._events.last_row and not self._events.uploads()
            if arrived or time.monotonic() >= deadline:
                return
            time.sleep(_POLL_SECONDS)

    def _refused_uploads(self, before: Container[int]) -> list[SetAside]:
        """Wait a little for the uploads that a batch has begun; returns what the SDK gave up by then."""
        refused: list[SetAside] = []
        deadline = time.monotonic() + UPLOAD_SECONDS
        while time.monotonic() < deadline:
            new = {seq: upload for seq, upload in self._events.uploads().items() if seq not in before}
            if not new:
                break
            for seq, upload in new.items():
                if upload.error:
                    refused.append(SetAside(seq, f"artifact: {upload.error}"))
                    del self._events.uploads()[seq]
            time.sleep(_POLL_SECONDS / 4)
        return refused

    def _abandon(self) -> None:
        self.is_closed = True
        try:
            self._handle.finish(exit_code=0)
        except TimeoutError as error:
            logger.warning("letting go of %s: %s", self._run.id, error)

    def _await_room(self) -> None:
        while len(self._ahead) >= ROWS_AHEAD:
            time.sleep(_POLL_SECONDS)
            self._read_tail()

    def _read_tail(self) -> None:
        """Ask the server how far it is. Raises SinkUnavailable when it fails for long, or takes nothing for long."""
        self._asked = time.monotonic()
        try:
            tail = self._server.ask()
        except (OSError, ValueError) as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or self._asked
            logger.warning("reading back %s: %s", self._run.id, error)
            if now - self._failing_since >= FAILING_SECONDS:
                raise SinkUnavailable(f"W&B does not answer any more ({error or 'no answer in time'}).") from error
            return
        if self._failing_since is not None:
            self._failing_since, self._moved = None, time.monotonic()
        if tail.row > self._tail.row:
            self._tail, self._moved = tail, time.monotonic()
            self._seen = self._seen.save(self._run, row=tail.row)
            while self._ahead and self._ahead[0] <= tail.row:
                self._ahead.popleft()
        elif self._ahead and not self.is_closed and time.monotonic() - self._moved >= STALLED_SECONDS:
            raise SinkUnavailable(
                f"W&B answers and has taken no row for {STALLED_SECONDS:g} s; the run is opened again.",
                fresh_process=True,
            )
