"""The journal: one append-only SQLite file a run, the truth from which every far side is fed.

Schema version 2 (``PRAGMA user_version``), documented in docs/tracking.md. One table ``events``:
``seq`` orders the run from 1, with a gap only where a copy was restored on another machine, ``kind`` names the
payload's form, ``step`` is the training step or NULL, ``time`` is seconds since the epoch when the event happened,
``payload`` is strict JSON in which a non-finite number is the string "NaN", "Infinity" or "-Infinity" (``float``
reads all three back).
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError
from touchline.filesystem import create_private, make_private

SCHEMA_VERSION = 2
RESTORE_GAP = 2**32
"""Sequence numbers left out by a restored copy: the lost machine may have used those after the copy."""
FILE_NAME = "journal.db"
_COLUMNS = 5
_BLOCK = 128
"""Rows of the largest INSERT statement; smaller remainders use smaller powers of two."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  step INTEGER,
  time REAL NOT NULL,
  payload TEXT NOT NULL
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS rare ON events (kind, seq) WHERE kind != 'metrics'"
"""Couriers ask for the newest start, end and rewind again and again, among millions of metrics."""


@dataclass(frozen=True)
class Event:
    """One row of a journal, its payload decoded."""

    seq: int
    kind: str
    step: int | None
    time: float
    payload: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """The values of a ``metrics`` event as floats, non-finite ones restored."""
        return {name: float(value) for name, value in self.payload.items()}


class Journal:
    """The writing side; a journal has exactly one writer, and only one thread may use it at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal. Raises TouchlineError when the file cannot be written or is no journal."""
        self.path = path
        try:
            self._connect("WAL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            _check_version(path, version)
            if version < SCHEMA_VERSION:  # 2 only knows more kinds of events than 1
                self._connection.execute(_SCHEMA)
                self._connection.execute(_INDEX)
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._last = self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        except (OSError, sqlite3.Error) as error:
            raise unwritable(path, error) from error

    def _connect(self, mode: str) -> None:
        create_private(self.path)  # SQLite gives the files beside it the same rights
        self._connection = sqlite3.connect(
            self.path, timeout=10.0, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self._connection.execute(f"PRAGMA journal_mode={mode}")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._inode = inode_of(self.path)

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest committed event, 0 when there is none."""
        return int(self._last)

    def append(self, events: Sequence[tuple[str, int | None, float, str]]) -> int:
        """Commit (kind, step, time, encoded payload) rows in one transaction; returns the newest seq.

        Raises sqlite3.Error when the disk refuses; then nothing of the batch is in the journal.
        """
        # An exception from a signal may have come between ``append_one``'s row and the note of its number.
        newest = self._connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        self._last = max(self._last, newest)
        rows = [(self._last + place, *event) for place, event in enumerate(events, start=1)]
        blocks = [rows[start : start + size] for start, size in _blocks(len(rows))]
        execute = self._connection.execute
        alone = len(blocks) == 1  # a statement by itself is a transaction already
        if not alone:
            execute("BEGIN IMMEDIATE")
        try:
            for block in blocks:
                execute(_insert(len(block)), [value for row in block for value in row])
            if not alone:
                execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise
        self._last += len(rows)
        return int(self._last)

    def append_one(self, kind: str, step: int | None, time: float, payload: str) -> None:
        """Commit one row; raises sqlite3.Error when the disk refuses. SQLite itself gives it the next number."""
        row = (None, kind, step, time, payload)
        self._last = self._connection.execute(_insert(1), row).lastrowid or self._last

    def put_back_if_removed(self) -> bool:
        """Write the journal anew when its file was removed; the open connection still has all of it.

        True when that was done. Raises sqlite3.Error or OSError when the disk refuses or another file is there.
        """
        found = inode_of(self.path)
        if found == self._inode:
            return False
        if found is not None:
            raise sqlite3.OperationalError("another file has taken its place")
        make_private(self.path.parent)
        partial = self.path.with_name(f".{self.path.name}.partial")
        partial.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(create_private(partial))) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        partial.replace(self.path)
        self._connection.close()
        # A courier that still reads the removed file deletes the write-ahead log of this name when it lets go.
        self._connect("DELETE")
        return True

    def skip(self, count: int) -> None:
        """Leave out ``count`` sequence numbers."""
        self._last += count

    def close(self) -> None:
        """Close the file; SQLite folds the write-ahead log into it when no reader is left."""
        self._connection.close()


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    """(first row, rows) of the statements that insert ``count`` rows: large ones, then smaller powers of two."""
    start = 0
    while start < count:
        size = min(_BLOCK, 1 << ((count - start).bit_length() - 1))
        yield start, size
        start += size


@functools.cache
def _insert(rows: int) -> str:
    # One statement for many rows: sqlite3 gives up the interpreter lock once a statement, and a training loop
    # that is busy in Python keeps it for 5 ms each time.
    place = "(" + ",".join("?" * _COLUMNS) + ")"
    return "INSERT INTO events VALUES " + ",".join([place] * rows)


class JournalReader:
    """The reading side: short read-only queries, so that the write-ahead log never grows behind a reader."""

    def __init__(self, path: Path) -> None:
        """Open the journal read-only. Raises TouchlineError when it is missing or damaged."""
        self.path = path
        try:
            # A courier gives a slow run a thread of its own; only one at a time reads.
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=10.0,
                isolation_level=None,
                check_same_thread=False,
            )
            _check_version(path, self._connection.execute("PRAGMA user_version").fetchone()[0])
            self._inode = inode_of(path)
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error

    def check(self) -> None:
        """Read the whole file once. Raises TouchlineError when it is damaged."""
        (verdict,) = self._rows("PRAGMA quick_check(1)")[0]
        if verdict != "ok":
            raise _unreadable(self.path, sqlite3.DatabaseError(str(verdict)))

    def is_replaced(self) -> bool:
        """True when another file has come in the place of the one that is read."""
        return inode_of(self.path) not in (None, self._inode)

    def after(self, seq: int, limit: int = 1000) -> list[Event]:
        """Return up to ``limit`` events with a sequence number above ``seq``, in order."""
        return self._select("WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))

    def of_kind(self, kinds: Iterable[str]) -> list[Event]:
        """Return every event of the named kinds, in order."""
        names = tuple(kinds)
        return self._select(f"WHERE kind IN ({','.join('?' * len(names))}){_rare(names)} ORDER BY seq", names)

    def newest(self, kind: str) -> Event | None:
        """Return the newest event of a kind, or None."""
        found = self._select(f"WHERE kind = ?{_rare([kind])} ORDER BY seq DESC LIMIT 1", (kind,))
        return found[0] if found else None

    def last_seq(self) -> int:
        """Sequence number of the newest event, 0 in an empty journal."""
        return self._number("SELECT coalesce(max(seq), 0) FROM events")

    def count_after(self, seq: int) -> int:
        """Number of events with a sequence number above ``seq``."""
        return self._number("SELECT count(*) FROM events WHERE seq > ?", seq)

    def count_values(self) -> int:
        """Number of values in all metrics."""
        return self._number("SELECT count(*) FROM events, json_each(payload) WHERE kind = 'metrics'")

    def before_last(self, count: int) -> int:
        """The sequence number after which the newest ``count`` events follow, 0 when there are no more."""
        return self._number("SELECT coalesce((SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?), 0)", count)

    def values(self, name: str) -> Iterator[Event]:
        """Yield the ``metrics`` events that have the metric, with it alone."""
        # A JSON path cannot name a key that holds quotes.
        query = (
            "SELECT seq, step, time, item.value FROM events, json_each(payload) AS item "
            "WHERE kind = 'metrics' AND item.key = ? ORDER BY seq"
        )
        for seq, step, time, value in self._rows(query, (name,)):
            yield Event(seq, "metrics", step, time, {name: value})

    def metric_rows(self, batch: int = 20_000, after: int = -1) -> Iterator[list[Event]]:
        """Yield the ``metrics`` events after a number, a block at a time: several times as fast as ``all``."""
        query = "SELECT seq, step, time, payload FROM events WHERE seq > ? AND kind = 'metrics' ORDER BY seq LIMIT ?"
        seq = after
        while rows := self._rows(query, (seq, batch)):
            # The payloads are JSON each, and so is a list of them: one call in place of thousands.
            payloads = json.loads(f"[{','.join(payload for *_, payload in rows)}]")
            yield [
                Event(seq, "metrics", step, time, payload)
                for (seq, step, time, _), payload in zip(rows, payloads, strict=True)
            ]
            seq = rows[-1][0]

    def all(self, batch: int = 5_000) -> Iterator[Event]:
        """Yield every event in order, by short queries, so that no transaction stays open."""
        seq = -1
        while events := self.after(seq, batch):
            yield from events
            seq = events[-1].seq

    def highest_step(self, after: int = 0) -> int | None:
        """The highest step of the metrics after the sequence number ``after``; None where there are none."""
        found = self._rows("SELECT max(step) FROM events WHERE seq > ? AND kind = 'metrics'", (after,))
        step: int | None = found[0][0] if found else None
        return step

    def backup(self, target: Path) -> None:
        """Write a consistent copy to ``target``, whole or not at all, while the writer goes on.

        Raises TouchlineError when it cannot be written.
        """
        partial = target.with_name(f".{target.name}.partial")
        try:
            partial.unlink(missing_ok=True)
            with contextlib.closing(sqlite3.connect(partial)) as copy:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, wherever it is carried
            partial.replace(target)
        except (OSError, sqlite3.Error) as error:
            partial.unlink(missing_ok=True)
            raise TouchlineError(
                f"The journal {self.path} could not be copied to {target} ({error}). Check that disk's space."
            ) from error

    def _number(self, query: str, *parameters: int) -> int:
        found = self._rows(query, parameters)
        return int(found[0][0]) if found else 0

    def _select(self, clause: str, parameters: tuple[Any, ...]) -> list[Event]:
        rows = self._rows(f"SELECT seq, kind, step, time, payload FROM events {clause}", parameters)
        return [Event(seq, kind, step, time, json.loads(payload)) for seq, kind, step, time, payload in rows]

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # its process was killed before it made one
                return []
            raise _unreadable(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _rare(kinds: Iterable[str]) -> str:
    """The condition by which SQLite recognises that the partial index serves."""
    return "" if "metrics" in kinds else " AND kind != 'metrics'"


def inode_of(path: Path) -> tuple[int, int] | None:
    """Identity of a file on its disk, None where there is none."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_dev, stat.st_ino


def _check_version(path: Path, version: int) -> None:
    if version > SCHEMA_VERSION:
        raise TouchlineError(
            f"The journal {path} has schema version {version}, and this Touchline knows {SCHEMA_VERSION}. "
            "Upgrade Touchline to read it."
        )


def unwritable(path: Path, error: Exception) -> TouchlineError:
    """Build the error for a journal that the disk refuses, with the remedy that fits the cause."""
    text = str(error)
    if "full" in text or "No space" in text:
        return TouchlineError(
            f"The disk of the journal {path} is full ({text}). Free some space there, "
            "or choose another home with TOUCHLINE_HOME=/path/with/space."
        )
    if "not a database" in text or "malformed" in text:
        return TouchlineError(
            f"The journal {path} is damaged ({text}). Start a new run, or go on from a checkpoint with "
            "start_run(resume=directory)."
        )
    return TouchlineError(
        f"The journal {path} cannot be written ({text}). Make its directory writable, "
        "or choose another home with TOUCHLINE_HOME=/path."
    )


def _unreadable(path: Path, error: Exception) -> TouchlineError:
    return TouchlineError(
        f"The journal {path} cannot be read ({error}). If it is damaged, go on from a checkpoint with "
        f"start_run(resume=directory), or begin anew with: mv {path} {path}.damaged"
    )
