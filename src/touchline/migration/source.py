"""What a reader tells of one run of another tracker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from touchline.errors import TouchlineError

Row = tuple[str, int | None, float, dict[str, Any]]
"""Kind, step, time in seconds since the epoch and payload of an event of the journal."""

RUNS, VALUES, PARAMS, TAGS, RESULTS = "runs", "values", "parameters", "tags", "results"
IMAGES, VIDEOS, HISTOGRAMS, TABLES = "images", "videos", "histograms", "tables"
FILES, OTHER_VALUES = "files", "texts and lists"
ALERTS, OUTPUT, INPUTS = "alerts", "characters of output", "inputs"
KINDS = (
    RUNS, VALUES, OTHER_VALUES, PARAMS, TAGS, RESULTS, IMAGES, VIDEOS, HISTOGRAMS, TABLES, FILES, ALERTS, OUTPUT,
    INPUTS,
)  # fmt: skip
"""What is counted, in the order in which it is shown."""
OTHER_VALUES_FILE = "imported/values.jsonl"
"""Artifact with the logged values that are no numbers: a line of JSON each, with name, step, time and value."""


@dataclass(frozen=True)
class About:
    """What is known of a run before its events are read."""

    track: str
    """wandb, mlflow or tensorboard: the sink by which such a run would be delivered."""
    identity: str
    """Tells the run from every other one of its track, wherever it is imported from."""
    name: str
    project: str
    started: float
    """Seconds since the epoch."""
    place: str
    """Path or URI that it is read from, without credentials."""
    job: str = "imported"
    group: str = ""
    parent: About | None = None
    host: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    status: str
    """One of ``touchline.tracking.run.STATUSES``."""
    time: float
    reason: str = ""


@dataclass(frozen=True)
class Omission:
    """Something of the source that the import does not have, or has in another form."""

    what: str
    reason: str


@dataclass
class Findings:
    """What a reader has come across so far."""

    counts: Counter[str] = field(default_factory=Counter)
    """By kind, what the source has; complete once the events were read to their end."""
    omissions: Counter[Omission] = field(default_factory=Counter)

    def omit(self, what: str, reason: str, count: int = 1) -> None:
        """Note something that is not taken over."""
        self.omissions[Omission(what, reason)] += count


class UnreadableRun:
    """A run of which it is only known that it cannot be read."""

    def __init__(self, error: TouchlineError) -> None:
        self.findings = Findings()
        self._error = error

    def about(self) -> About:
        """Raises what is wrong."""
        raise self._error

    def events(self, directory: Path | None) -> Iterator[Row]:
        """Raises what is wrong."""
        raise self._error

    def ending(self) -> Ending:
        """Raises what is wrong."""
        raise self._error


class SourceRun(Protocol):
    """One run of a source; what it raises about its own data is a TouchlineError."""

    findings: Findings

    def about(self) -> About:
        """Read what is known beforehand."""
        ...

    def events(self, directory: Path | None) -> Iterator[Row]:
        """Yield its events in their order, and put its files below ``directory`` (None: only count)."""
        ...

    def ending(self) -> Ending:
        """How it ended; known once the events were read."""
        ...
