"""What became of a run and how far each sink has come with it, read from its files alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from touchline.tracking.delivery import Cursor, Refusal, read_cursor, refusals
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.route import AWAY_SECONDS, journal_files

RUNNING = "running"
UNKNOWN = "killed-cause-unknown"
"""The process is gone and the journal has no end."""
REPORT_ARTIFACT = "report.html"
"""Name of the artifact that is the report of a run, kept with it after its end."""
REPORT_SUMMARY = "report"
"""Entry of the run's summary that says where its report is: an address in MLflow, or which artifact."""
_LATE_EVENTS = 10_000


@dataclass(frozen=True)
class SinkStatus:
    """How far one sink has come with one run."""

    sink: str
    state: str
    """starting, live, waiting, refused or done."""
    delivered: int
    """Events the sink has, those it set aside included."""
    waiting: int
    """Events the sink has not confirmed."""
    missing: tuple[int, int] | None
    """First and last sequence number of those."""
    lag_seconds: float
    """Age of the oldest of those."""
    set_aside: tuple[Refusal, ...]
    """(sequence number, reason) of what the sink refused."""
    last_error: str
    slowest_seconds: float
    """Duration of the slowest delivery of one batch."""
    told: bool
    """True when the sink knows how the run ended."""
    destination: str
    url: str
    remote_id: str


@dataclass(frozen=True)
class RunStatus:
    """A run as a person asks for it."""

    id: str
    job: str
    name: str
    project: str
    state: str
    """running, finished, failed, killed, preempted, pruned or killed-cause-unknown."""
    reason: str
    started: float
    """First start, in seconds since the epoch."""
    last_start: float
    """Newest start; later than the first where the run was resumed."""
    ended: float | None
    """When it ended, or last wrote where it did not say; None while it runs."""
    last_step: int | None
    """Highest step of the newest attempt, as far as its newest 10,000 events tell."""
    events: int
    attempts: int
    """1, and one more for each time the run went back to an earlier step."""
    sinks: tuple[SinkStatus, ...]

    @property
    def seconds(self) -> float:
        """Time from the first start to the end, or to now, pauses included."""
        return max((time.time() if self.ended is None else self.ended) - self.started, 0.0)

    def sink(self, name: str) -> SinkStatus | None:
        """The sink called ``name``, or None."""
        return next((sink for sink in self.sinks if sink.sink == name), None)


def read_status(directory: Path, sinks: Iterable[str] | None = None) -> RunStatus:
    """Read the status of the run in ``directory`` for ``sinks`` (None: those it was started with or went to).

    Raises TouchlineError when its journal cannot be read or holds no run.
    """
    with JournalReader(directory / FILE_NAME) as journal:
        marks = journal.of_kind(("start", "end", "rewind"))
        starts = [event for event in marks if event.kind == "start"]
        if not starts:
            return _empty(directory)
        start = starts[-1]
        end = next((event for event in reversed(marks) if event.kind == "end"), None)
        rewinds = [event for event in marks if event.kind == "rewind"]
        newest, total = journal.newest("metrics"), journal.count_after(0)
        last_step = rewinds[-1].step if rewinds else None
        if newest is not None and (not rewinds or newest.seq > rewinds[-1].seq):
            last_step = journal.highest_step(max(rewinds[-1].seq if rewinds else 0, newest.seq - _LATE_EVENTS))
        state, reason, ended = fate(directory, start, end, journal)
        names = list(sinks) if sinks is not None else _sinks_of(directory, start)
        states = tuple(_sink(read_cursor(directory, name), journal, total) for name in names)
    return RunStatus(
        id=directory.name,
        job=str(start.payload["job"]),
        name=str(start.payload["name"]),
        project=str(start.payload["project"]),
        state=state,
        reason=reason,
        started=starts[0].time,
        last_start=start.time,
        ended=ended,
        last_step=last_step,
        events=total,
        attempts=1 + len(rewinds),
        sinks=states,
    )


def fate(directory: Path, start: Event, end: Event | None, journal: JournalReader) -> tuple[str, str, float | None]:
    """State, reason and end (None: it runs) of a run, from its newest start and its newest end, if any."""
    if end is not None and end.seq > start.seq:
        return str(end.payload["status"]), str(end.payload.get("reason", "")), end.time
    trainer = ProcessIdentity.from_mapping(start.payload["process"])
    if trainer.is_local():
        alive = trainer.is_alive()
    else:  # of another machine or an earlier boot: only a journal that grows speaks for it
        written = max((path.stat().st_mtime for path in journal_files(directory)), default=0.0)
        alive = time.time() - written < AWAY_SECONDS
    if alive:
        return RUNNING, "", None
    return UNKNOWN, "The process ended without saying how.", _last_of_its_own(journal, start).time


def _last_of_its_own(journal: JournalReader, start: Event) -> Event:
    """The newest event of the run itself: a report that was kept with it later says nothing of its end."""
    for seq in range(journal.last_seq(), start.seq, -1):
        (event,) = journal.after(seq - 1, 1)
        of_report = event.kind == "artifact" and event.payload["name"] == REPORT_ARTIFACT
        if not of_report and not (event.kind == "summary" and [*event.payload] == [REPORT_SUMMARY]):
            return event
    return start


def gaps(status: RunStatus, sinks: Sequence[str] | None = None) -> list[str]:
    """One sentence for each of ``sinks`` (None: all) that lacks something: what, where, why and the remedy."""
    chosen = [sink for sink in status.sinks if sinks is None or sink.sink in sinks]
    return [sentence for sink in chosen if (sentence := _gap(status, sink))]


def set_aside(status: RunStatus) -> list[str]:
    """One sentence for each sink that refused some of the run."""
    return [refusals(sink.sink, status.id, sink.set_aside) for sink in status.sinks if sink.set_aside]


def _gap(status: RunStatus, sink: SinkStatus) -> str:
    over = status.ended is not None
    if not sink.waiting and (sink.state in ("done", "live", "starting") and (sink.told or not over)):
        return ""
    if sink.waiting and sink.missing:
        first, last = sink.missing
        which = f"number {first:,}" if first == last else f"numbers {first:,} to {last:,}"
        what = f"{sink.sink} lacks {_events(sink.waiting)} of run {status.id}: {which}."
    else:
        what = f"{sink.sink} has every event of run {status.id} but does not know how it ended."
    why = f" {sink.last_error.rstrip('. ')}." if sink.last_error else ""
    if not why and sink.state in ("live", "starting"):
        why = " It was being sent just now."
    if sink.state == "refused":
        return f"{what}{why} The journal keeps everything; read it with: touchline export {status.id}"
    return f"{what}{why} Send what is missing with: touchline sync {status.id}"


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _sinks_of(directory: Path, start: Event) -> list[str]:
    reached = sorted(path.stem for path in (directory / "delivery").glob("*.json"))
    return list(dict.fromkeys([*start.payload.get("sinks", {}), *reached]))


def _sink(cursor: Cursor, journal: JournalReader, total: int) -> SinkStatus:
    waiting = journal.count_after(cursor.delivered)
    oldest = journal.after(cursor.delivered, 1) if waiting else []
    state = "live" if cursor.state == "done" and waiting else cursor.state
    return SinkStatus(
        sink=cursor.sink,
        state=state,
        delivered=total - waiting,
        waiting=waiting,
        missing=(oldest[0].seq, journal.last_seq()) if oldest else None,
        lag_seconds=max(time.time() - oldest[0].time, 0.0) if oldest else 0.0,
        set_aside=cursor.set_aside,
        last_error=cursor.reason,
        slowest_seconds=cursor.slowest_seconds,
        told=bool(cursor.closed) and not waiting,
        destination=cursor.destination,
        url=cursor.url,
        remote_id=cursor.remote_id,
    )


def _empty(directory: Path) -> RunStatus:
    """A run that died before its first event."""
    made = directory.stat().st_mtime
    return RunStatus(directory.name, "", "", "", UNKNOWN, "Nothing was recorded.", made, made, made, None, 0, 1, ())
