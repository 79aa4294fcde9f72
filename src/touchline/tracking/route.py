"""A route: one run's way to one sink, with its durable cursor. Used by the courier alone."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError
from touchline.tracking.delivery import Cursor, read_cursor, write_cursor
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.one_route import begun_at, is_other_route
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.rewind import Attempt, Timeline
from touchline.tracking.sinks.base import RunInfo, RunRefused, Session, Sink, SinkUnavailable
from touchline.tracking.thinning import Thinning

logger = logging.getLogger("touchline.courier")

BATCH = 1_000
AWAY_SECONDS = 60.0
"""A trainer of another machine counts as alive for so long after its journal last changed."""
KILLED_REASON = "The training process ended without saying how; killed, cause unknown."


class Route:
    """Reads a journal from the cursor, hands batches to a session and moves the cursor once they arrived."""

    def __init__(self, info: RunInfo, trainer: ProcessIdentity, cursor: Cursor, thinning: Thinning) -> None:
        self.id = info.id
        self._info = info
        self._trainer = trainer
        self._cursor = cursor
        self._path = info.directory / FILE_NAME
        self._open_reader: JournalReader | None = None
        self._session: Session | None = None
        self._position = cursor.delivered
        self._attempt = cursor.attempt
        self._batches: deque[tuple[int, Attempt]] = deque()
        self._thinning = thinning
        self._end: Event | None = None
        self._moved = time.monotonic()
        self._told = float("-inf")
        # The courier tells of an outage while the route's own thread may hang in it.
        self._saving = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._looked: tuple[int, ...] = ()
        self._ended = False
        self._replaced = False
        self._is_behind = False

    @classmethod
    def find(cls, directory: Path, sink: str, destination: str, drain: bool, thin_seconds: float) -> Route | None:
        """Build the route of a run directory; None when it is no run, not yet one, or goes elsewhere."""
        try:
            with JournalReader(directory / FILE_NAME) as reader:
                start = reader.newest("start")
                begun = begun_at(reader, sink) if drain else None
        except TouchlineError as error:
            logger.warning("%s", error)
            return None
        cursor = read_cursor(directory, sink)
        if start is None or not _meant_for(start, cursor, sink, destination, drain, begun):
            return None
        cursor = dataclasses.replace(cursor, destination=destination)
        info = RunInfo.from_start(start, directory)
        return cls(info, ProcessIdentity.from_mapping(start.payload["process"]), cursor, Thinning(thin_seconds))

    def trainer_lives(self) -> bool:
        """True while more events may come: the run has not ended and its process is alive."""
        if self._cursor.closed or self._has_ended():
            return False
        if self._trainer.is_local():
            return self._trainer.is_alive()
        newest = max((path.stat().st_mtime for path in journal_files(self._info.directory)), default=0.0)
        return time.time() - newest < AWAY_SECONDS

    def has_work(self) -> bool:
        """True when the journal has something new, something unconfirmed, or an end that was not told."""
        if self._cursor.state == "refused":
            return False
        if not self._cursor.closed:
            return self._unconfirmed() or bool(self._unsent(1)) or not self.trainer_lives()
        signature = signature_of(self._info.directory)
        if signature == self._seen or not signature:  # nothing new, or removed by ``touchline gc``
            return False
        work = bool(self._unsent(1))
        if not work:
            self._seen = signature
            self._close_reader()
        return work

    def is_due(self, seconds: float) -> bool:
        """False while a living run was told less than so many seconds ago, so that more travels in one request."""
        waits = time.monotonic() - self._told < seconds and not self._unconfirmed() and not self.is_pressed()
        return not (waits and self.trainer_lives())

    def advance(self, sink: Sink) -> bool:
        """Deliver one batch, or the end; True when something moved. Raises SinkUnavailable."""
        before = self._cursor
        self._reader()
        if self._replaced:  # the run's directory was removed, with what a sink had open in it
            self._replaced = False
            self.release()
        try:
            session = self._session or self._open(sink)
        except RunRefused as error:
            self._save(state="refused", reason=str(error))
            return True
        # Whether the trainer lives is asked before the journal is read: what a dead one wrote is all there.
        alive = self.trainer_lives()
        events = self._unsent(BATCH)
        self._is_behind = len(events) == BATCH
        if events:
            self._told = time.monotonic()
            alive = self._note_ends(events) or alive
            self._deliver(sink, session, events)
        self._confirm(session)
        if len(events) < BATCH and (self._end is not None or not alive):
            self._close(session)
        return self._cursor != before

    def _deliver(self, sink: Sink, session: Session, events: Sequence[Event]) -> None:
        """Send a batch as the far side wants it; what is about to be sent is durable before."""
        last = events[-1].seq
        wanted = list(events)
        if sink.append_only:
            self._attempt, wanted = self._choose(events)
        began = time.monotonic()
        refused = self._send(session, self._thinning.apply(wanted))
        slowest = max(self._cursor.slowest_seconds, round(time.monotonic() - began, 3))
        self._position = last
        self._batches.append((last, self._attempt))
        self._save(set_aside=self._cursor.with_set_aside(refused), slowest_seconds=slowest)

    def _choose(self, events: Sequence[Event]) -> tuple[Attempt, list[Event]]:
        """Tell what an append-only far side still wants of ``events``, the same for what was sent once before.

        A row that a rewind superseded is left out only if that rewind was known when the row was first due: what
        was handed over before stays there, and is handed over again after a crash.
        """
        timeline = Timeline.of(self._reader().of_kind(["rewind"]))
        last, plan = events[-1].seq, self._cursor.plan
        if not plan or plan[-1][0] < last:
            if plan and plan[-1][1] == timeline.newest:
                plan = plan[:-1]
            plan = (*plan, (last, timeline.newest))
            self._save(sent=max(last, self._cursor.sent), plan=plan)
        attempt, wanted = self._attempt, []
        rest = list(events)
        for upto, newest in plan:
            part = [event for event in rest if event.seq <= upto]
            if part:
                attempt, chosen = attempt.take(part, timeline.until(newest))
                wanted += chosen
                rest = rest[len(part) :]
        return attempt, wanted

    def _confirm(self, session: Session) -> None:
        """Move the cursor to the newest batch that the far side has whole."""
        arrived = session.acknowledged()
        delivered, attempt = self._cursor.delivered, self._cursor.attempt
        while self._batches and self._batches[0][0] <= arrived:
            delivered, attempt = self._batches.popleft()
        if delivered != self._cursor.delivered or not self._unconfirmed():
            self._moved = time.monotonic()
        plan = tuple((upto, newest) for upto, newest in self._cursor.plan if upto > delivered)
        self._save(delivered=delivered, attempt=attempt, plan=plan, state="live", reason="")

    def is_pressed(self) -> bool:
        """True while more waits than one batch takes, or the run has ended and the far side is not told."""
        return self._is_behind or (self._end is not None and not self._cursor.closed)

    def mark_waiting(self, cause: SinkUnavailable, tried: bool) -> None:
        """Record why nothing moves; the session is opened anew when the sink answers again.

        ``tried``: an attempt failed just now, which someone may be waiting to hear of.
        """
        self._session = None
        self._return()
        if self._cursor.state not in ("refused", "done") or self._unsent(1):
            updated = time.time() if tried else self._cursor.updated
            self._save(state="waiting", reason=str(cause), needs_person=cause.permanent, updated=updated)

    def tell_waiting(self, cause: SinkUnavailable) -> None:
        """Tell people why nothing moves, while another thread still tries."""
        if self._cursor.state not in ("refused", "done"):
            self._save(state="waiting", reason=str(cause), needs_person=cause.permanent, updated=time.time())

    def is_stalled(self, seconds: float) -> bool:
        """True when what was handed over has not been confirmed for so long."""
        return self._session is not None and self._unconfirmed() and time.monotonic() - self._moved > seconds

    def release(self) -> None:
        """Let go of an open session without ending the run."""
        if self._session is not None:
            try:
                self._session.release()
                self._confirm(self._session)
            except Exception as error:
                logger.warning("letting go of %s: %s", self._info.id, error)
        self._session = None
        self._close_reader()

    def _has_ended(self) -> bool:
        signature = signature_of(self._info.directory)
        if signature != self._looked:
            start, end = self._reader().newest("start"), self._reader().newest("end")
            self._ended = start is not None and end is not None and start.seq < end.seq
            self._looked = signature
        return self._ended

    def _open(self, sink: Sink) -> Session:
        reader = self._reader()
        start, end = reader.newest("start"), reader.newest("end")
        assert start is not None
        self._trainer = ProcessIdentity.from_mapping(start.payload["process"])
        self._save(state="starting", reason="", needs_person=False)
        session = sink.open(self._info, self._cursor.delivered, self._cursor.sent)
        self._session = session
        if not sink.append_only:
            self._save(delivered=0, sent=0, attempt=Attempt(), plan=())
        elif session.resume_from < self._cursor.delivered:  # the far side lost what it had
            self._save(delivered=session.resume_from, attempt=Attempt(), plan=())
        self._return()
        if sink.append_only and session.resume_from > self._position:
            self._pass_over(session)
        self._end = end if end and start.seq < end.seq <= self._position else None
        self._save(remote_id=session.remote_id, url=session.url, state="live", reason="", closed="")
        return session

    def _return(self) -> None:
        """Go back to the last confirmed event."""
        self._position = self._cursor.delivered
        self._attempt = self._cursor.attempt
        self._batches.clear()

    def _pass_over(self, session: Session) -> None:
        """Take note of what the far side has although the cursor does not know it: this machine did not send it."""
        attempt = self._attempt
        while self._position < session.resume_from:
            events = [event for event in self._unsent(BATCH) if event.seq <= session.resume_from]
            if not events:
                break
            timeline = Timeline.of(self._reader().of_kind(["rewind"]))
            attempt, _ = attempt.take(events, timeline)
            self._position = events[-1].seq
        self._attempt = attempt.knowing(session.high_water())
        self._save(delivered=self._position, sent=max(self._position, self._cursor.sent), attempt=self._attempt)

    def _send(self, session: Session, events: Sequence[Event]) -> list[tuple[int, str]]:
        """Send a batch; when it is refused as a whole, one by one, so that a poison event blocks nothing."""
        try:
            return [(aside.seq, aside.reason) for aside in session.send(events)]
        except SinkUnavailable:
            raise
        except Exception as error:
            logger.exception("event %s of %s", events[0].seq, self._info.id)
            if len(events) == 1:
                return [(events[0].seq, f"{events[0].kind}: {type(error).__name__}: {str(error)[:300]}")]
        return [refused for event in events for refused in self._send(session, [event])]

    def _note_ends(self, events: Sequence[Event]) -> bool:
        """Remember the newest end; True when the run was started anew, by a process that lived a moment ago."""
        for event in events:
            if event.kind == "end":
                self._end = event
            elif event.kind == "start":
                self._end = None
                self._trainer = ProcessIdentity.from_mapping(event.payload["process"])
        return any(event.kind == "start" for event in events)

    def _close(self, session: Session) -> None:
        status = str(self._end.payload["status"]) if self._end else "killed"
        reason = str(self._end.payload.get("reason", "")) if self._end else KILLED_REASON
        self._session = None
        session.close(status, reason, alert=self._end is None)
        self._confirm(session)
        if self._batches:
            missing = self._reader().count_after(self._cursor.delivered)
            raise SinkUnavailable(
                f"The far side did not confirm the last {missing} events; they are sent again later."
            )
        self._save(closed=status, state="done", reason="")
        self._close_reader()

    def _unsent(self, limit: int) -> list[Event]:
        return self._reader().after(self._position, limit)

    def _unconfirmed(self) -> bool:
        return self._cursor.delivered < self._cursor.sent

    def _reader(self) -> JournalReader:
        if self._open_reader is not None and self._open_reader.is_replaced():
            self._close_reader()
            self._replaced = True
        if self._open_reader is None:
            self._open_reader = JournalReader(self._path)
        return self._open_reader

    def _close_reader(self) -> None:
        if self._open_reader is not None:
            self._open_reader.close()
            self._open_reader = None

    def _save(self, **changes: Any) -> None:
        with self._saving:
            cursor = dataclasses.replace(self._cursor, **changes)
            if cursor != self._cursor:
                cursor = dataclasses.replace(cursor, updated=time.time())
                write_cursor(self._info.directory, cursor)
                self._cursor = cursor


def journal_files(directory: Path) -> list[Path]:
    """The existing files of a run's journal: the database and its write-ahead log."""
    return [path for path in (directory / FILE_NAME, directory / (FILE_NAME + "-wal")) if path.exists()]


def signature_of(directory: Path) -> tuple[int, ...]:
    """Sizes and times of a run's journal: equal while nothing was written."""
    stats = [path.stat() for path in journal_files(directory)]
    return tuple(part for stat in stats for part in (stat.st_size, stat.st_mtime_ns))


def _meant_for(start: Event, cursor: Cursor, sink: str, destination: str, drain: bool, begun: str | None) -> bool:
    """A delivery that has begun stays where it began; otherwise the start event says, and a drain may differ.

    ``begun``: the route that the run was first given, which a drain does not change.
    """
    if cursor.delivered or cursor.sent:
        return cursor.destination == destination
    if drain:
        return begun is None or not is_other_route(begun, destination)
    return bool(start.payload.get("sinks", {}).get(sink) == destination)
