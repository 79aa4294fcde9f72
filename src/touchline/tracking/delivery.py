"""How far each sink has come with a run: durable cursors, and what they say to a person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from touchline.filesystem import make_private, write_private
from touchline.redaction import redact_text
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.rewind import Attempt
from touchline.tracking.sinks import far_sides

State = Literal["starting", "live", "waiting", "refused", "done"]
_MOST_REASONS = 200
_FURTHER = "further reasons; the first ones are told by themselves"


class Refusal(NamedTuple):
    """What the far side refused for one reason, which names the metric or the kind of event."""

    seq: int
    """Sequence number of the first event."""
    reason: str
    events: int = 1
    """How many of them."""
    last: int = 0
    """Sequence number of the newest one; what is sent again after a crash counts once."""


@dataclass(frozen=True)
class Cursor:
    """One sink's durable position in one run's journal, written by that sink's courier alone."""

    sink: str
    destination: str = ""
    """The far side that has the run, without secrets; fixed by the first delivery."""
    delivered: int = 0
    """Every event up to this sequence number has arrived, or is set aside."""
    sent: int = 0
    """Every event up to this one was handed over; those after ``delivered`` are not confirmed."""
    state: State = "starting"
    reason: str = ""
    """A sentence with a remedy, where the state is waiting or refused."""
    remote_id: str = ""
    url: str = ""
    closed: str = ""
    """The final status the far side was told, empty while the run is open."""
    set_aside: tuple[Refusal, ...] = ()
    """What the far side refused."""
    needs_person: bool = False
    """True while waiting for something that no retry changes: a missing key, say."""
    updated: float = 0.0
    slowest_seconds: float = 0.0
    """Duration of the slowest delivery of one batch."""
    attempt: Attempt = field(default_factory=Attempt)
    """What the far side has of each metric at ``delivered``, where it cannot take anything back."""
    plan: tuple[tuple[int, int], ...] = ()
    """(up to this sequence number, the newest rewind known then) of what was sent, so that it is sent alike again."""

    def with_set_aside(self, refused: Iterable[tuple[int, str]]) -> tuple[Refusal, ...]:
        """What was refused so far and these (sequence number, reason), each reason once and bounded in number."""
        known = {refusal.reason: refusal for refusal in self.set_aside}
        for seq, reason in refused:
            reason = reason if reason in known or len(known) < _MOST_REASONS else _FURTHER
            before = known.get(reason)
            if before is None:
                known[reason] = Refusal(seq, reason, 1, seq)
            elif seq > before.last or reason == _FURTHER:
                known[reason] = before._replace(events=before.events + 1, last=seq)
        return tuple(known.values())


@dataclass(frozen=True)
class SinkState:
    """What a sink has of a run."""

    sink: str
    delivered: int
    """Events the sink has, or has set aside."""
    pending: int
    """Events the sink has not confirmed yet; 0 and state "done" when it has everything."""
    state: State
    url: str = ""
    reason: str = ""
    remote_id: str = ""
    set_aside: tuple[Refusal, ...] = field(default=())
    needs_person: bool = False
    updated: float = 0.0
    """Seconds since the epoch of the courier's last word."""

    def settled(self, since: float) -> bool:
        """True when waiting longer changes nothing: all is there, or it was tried after ``since`` and failed."""
        if self.state == "waiting":
            return self.needs_person or self.updated >= since
        return self.state in ("done", "refused")


class Delivery(dict[str, SinkState]):
    """SinkState by sink name, for one run."""

    def __init__(self, run_id: str, states: Iterable[SinkState]) -> None:
        super().__init__({state.sink: state for state in states})
        self.run_id = run_id

    @property
    def complete(self) -> bool:
        """True when every sink has everything and knows how the run ended."""
        return all(state.state == "done" for state in self.values())

    def settled(self, since: float) -> bool:
        """True when no sink will get further by itself soon; see SinkState.settled."""
        return all(state.settled(since) for state in self.values())

    def sentences(self) -> list[str]:
        """One sentence for each sink that lacks something, with its remedy; empty when all is delivered."""
        return [
            f"{state.sink} has not received {state.pending:,} events of run {self.run_id}"
            f"{' because: ' + state.reason.rstrip('.') if state.reason else ''}. "
            f"Send them with: touchline sync {self.run_id}"
            for state in self.values()
            if state.pending or state.state in ("waiting", "refused")
        ]


def refusals(sink: str, run_id: str, refused: Sequence[Refusal], limit: int = 10) -> str:
    """A sentence that names up to ``limit`` of the reasons for which a sink refused a part of a run."""
    some = "; ".join(map(_told, refused[:limit]))
    more = f"; and {len(refused) - limit:,} more reasons" if len(refused) > limit else ""
    return f"{sink} set aside a part of run {run_id}, which the journal keeps: {some}{more}."


def _told(refusal: Refusal) -> str:
    number = f"number {refusal.seq:,}"
    where = number if refusal.events == 1 else f"{refusal.events:,} events from {number} on"
    return f"{refusal.reason.rstrip('.')} ({where})"


def _cursor_path(run_directory: Path, sink: str) -> Path:
    return run_directory / "delivery" / f"{sink}.json"


def read_cursor(run_directory: Path, sink: str) -> Cursor:
    """Read a cursor; one that is missing or unreadable starts at 0, which is safe because replays are harmless."""
    try:
        values: dict[str, Any] = json.loads(_cursor_path(run_directory, sink).read_text(encoding="utf-8"))
        values["set_aside"] = tuple(Refusal(*refusal) for refusal in values.get("set_aside", ()))
        values["plan"] = tuple((int(upto), int(rewind)) for upto, rewind in values.get("plan", ()))
        values["attempt"] = Attempt.from_plain(values.get("attempt", {}))
        return Cursor(**values)
    except (OSError, ValueError, TypeError):
        return Cursor(sink)


def write_cursor(run_directory: Path, cursor: Cursor) -> None:
    """Replace the cursor's file as a whole; raises OSError when the disk refuses."""
    path = _cursor_path(run_directory, cursor.sink)
    make_private(path.parent)
    partial = path.with_suffix(".partial")
    write_private(partial, json.dumps(asdict(_without_secrets(cursor)), indent=1))
    partial.replace(path)


def _without_secrets(cursor: Cursor) -> Cursor:
    """What a far side says of a refusal may quote what it was given, an address with its password for one."""
    refused = tuple(refusal._replace(reason=redact_text(refusal.reason)) for refusal in cursor.set_aside)
    return replace(cursor, reason=redact_text(cursor.reason), set_aside=refused)


def read_delivery(run_directory: Path, sinks: Iterable[str]) -> Delivery:
    """Compare every sink's cursor with the journal. Raises TouchlineError when there is no journal."""
    with JournalReader(run_directory / FILE_NAME) as journal:
        cursors = [read_cursor(run_directory, sink) for sink in far_sides(sinks)]
        total = journal.count_after(0)
        states = [_state(cursor, total, journal.count_after(cursor.delivered)) for cursor in cursors]
    return Delivery(run_directory.name, states)


def _state(cursor: Cursor, total: int, pending: int) -> SinkState:
    state: State = cursor.state
    if state == "done" and pending:
        state = "live"
    return SinkState(
        sink=cursor.sink,
        delivered=total - pending,
        pending=pending,
        state=state,
        url=cursor.url,
        reason=cursor.reason,
        remote_id=cursor.remote_id,
        set_aside=cursor.set_aside,
        needs_person=cursor.needs_person,
        updated=cursor.updated,
    )
