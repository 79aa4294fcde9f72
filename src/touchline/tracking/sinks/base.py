"""What a courier asks of a far side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from touchline.tracking.journal import Event


class SinkUnavailable(Exception):
    """The far side cannot be reached now; ``str()`` is a sentence with a remedy for people."""

    def __init__(self, reason: str, *, permanent: bool = False, fresh_process: bool = False) -> None:
        """``permanent``: only a person can change it (no key, say).

        ``fresh_process``: this process cannot try again, but another one can.
        """
        super().__init__(reason)
        self.permanent = permanent
        self.fresh_process = fresh_process


class RunRefused(Exception):
    """The far side will not take this one run, ever (it was deleted there, say); ``str()`` says why."""


@dataclass(frozen=True)
class RunInfo:
    """What a sink needs to know to open a run."""

    id: str
    job: str
    name: str
    project: str
    directory: Path
    started: float
    """Seconds since the epoch."""
    group: str = ""
    """Runs that belong together, a pipeline's say."""
    parent: str = ""
    """Id of the run that this one is nested in."""

    @classmethod
    def from_start(cls, event: Event, directory: Path) -> RunInfo:
        """Build it from a journal's ``start`` event."""
        payload: Mapping[str, Any] = event.payload
        return cls(
            id=directory.name,
            job=payload["job"],
            name=payload["name"],
            project=payload["project"],
            directory=directory,
            started=event.time,
            group=payload.get("group") or "",
            parent=payload.get("parent") or "",
        )


@dataclass(frozen=True)
class SetAside:
    """An event, or a part of it, that the far side refused; it blocks nothing."""

    seq: int
    reason: str
    """Names the metric, or the kind of event, first; what has the same reason is told once, with its number."""


class Session(Protocol):
    """One open run on the far side."""

    remote_id: str
    url: str
    resume_from: int
    """Sequence number after which the far side wants events: 0 when it knows nothing of the run."""

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Hand over events in order; sending one twice must not show twice. Raises SinkUnavailable."""
        ...

    def acknowledged(self) -> int:
        """Newest sequence number up to which the far side is known to have everything."""
        ...

    def high_water(self) -> Mapping[str, int]:
        """Newest step that the far side has of each metric, read back from it; the name "*" speaks for all.

        Asked for only where this machine does not know what was delivered; an empty one where nothing was.
        """
        ...

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Tell the final status (finished, failed, killed, preempted, pruned) and let go. Raises SinkUnavailable.

        ``alert``: the run ended without saying so, and people should be told.
        """
        ...

    def release(self) -> None:
        """Let go without ending the run on the far side; it will be opened again."""
        ...


class Sink(Protocol):
    """A kind of far side; built in the courier process only."""

    name: str
    append_only: bool
    """True where a value that was shown stays; False where ``open`` begins anew, with the newest attempt alone."""

    def check(self) -> None:
        """Find out, within about 3 s, whether the far side answers. Raises SinkUnavailable."""
        ...

    def open(self, run: RunInfo, delivered: int, sent: int) -> Session:
        """Find or create the run on the far side. Raises SinkUnavailable or RunRefused."""
        ...
