"""The writer thread: takes what the loop logs from a bounded queue and commits it in batches."""

from __future__ import annotations

import collections
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from touchline.errors import TouchlineError
from touchline.tracking.journal import Journal, encode, unwritable
from touchline.tracking.values import is_ready, snapshot, to_number

logger = logging.getLogger("touchline")

COMMIT_SECONDS = 0.05
CAPACITY = 65_536
"""Events that may wait in memory; beyond it ``log`` waits, and after PATIENCE_SECONDS drops and says so."""
PATIENCE_SECONDS = 5.0
_BATCH = 8_192
_RETRY_SECONDS = 0.5

_Item = tuple[str, int | None, float, Any]
_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """Owns a journal and the thread that writes it; every method may be called from any thread."""

    def __init__(self, journal: Journal, interval: float = COMMIT_SECONDS, capacity: int = CAPACITY) -> None:
        """``interval`` in seconds between commits, ``capacity`` in events."""
        self._journal = journal
        self._interval = interval
        self._capacity = capacity
        self._queue: collections.deque[_Item | threading.Event] = collections.deque()
        self._held: list[_Item] = []
        self._unwritten: list[tuple[str, int | None, float, str]] = []
        self._barriers: list[threading.Event] = []
        self._told: set[str] = set()
        self._wake = threading.Event()
        self._stopping = False
        self._refusal: str | None = None
        self._error: TouchlineError | None = None
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="touchline-writer", daemon=True)
        self._thread.start()
        _writers.add(self)

    @property
    def last_seq(self) -> int:
        """Sequence number of the newest committed event."""
        return self._journal.last_seq

    @property
    def error(self) -> TouchlineError | None:
        """Why the journal cannot be written at the moment, or None."""
        return self._error

    def log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Queue a snapshot of ``metrics``; never touches the disk, a device or the network."""
        if self._refusal is not None:
            self._tell("refusal", self._refusal)
            return
        if len(self._queue) >= self._capacity and not self._wait_for_room():
            return
        self._queue.append(("metrics", step, time.time(), snapshot(metrics)))

    def put(self, kind: str, payload: Mapping[str, Any], step: int | None = None) -> None:
        """Queue any other event; it is committed without waiting for the next interval."""
        if self._refusal is not None:
            self._tell("refusal", self._refusal)
            return
        self._queue.append((kind, step, time.time(), encode(payload)))
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was queued before is committed; False when ``timeout`` seconds did not suffice."""
        if not self._thread.is_alive():
            return not self._queue
        barrier = threading.Event()
        self._queue.append(barrier)
        self._wake.set()
        return barrier.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Commit what is queued and end the thread; False when something could not be committed in time."""
        if self._refusal is None:
            self._refusal = "This run is finished, so what is logged now is not kept. Log before finish()."
        complete = self.flush(timeout)
        self._stopping = True
        self._wake.set()
        self._thread.join(max(timeout, 1.0))
        if not self._thread.is_alive():
            self._journal.close()
        return complete

    def uncommitted(self) -> int:
        """Number of events that are only in memory, or lost because the journal could not take them."""
        waiting = sum(1 for item in list(self._queue) if not isinstance(item, threading.Event))
        return waiting + len(self._held) + len(self._unwritten) + self.dropped

    def _wait_for_room(self) -> bool:
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._tell("full", f"{self._capacity} events wait for the journal {self._journal.path}; log() waits now.")
        # A disk that refuses would stall the loop at every call, so nothing waits for it.
        while self._error is None and time.monotonic() < deadline:
            self._wake.set()
            time.sleep(0.001)
            if len(self._queue) < self._capacity:
                return True
        self.dropped += 1
        self._tell("dropped", f"The journal {self._journal.path} takes nothing, so new metrics are dropped.")
        return False

    def _run(self) -> None:
        retry_at = 0.0
        while True:
            last_round = self._stopping
            self._wake.wait(self._interval)
            self._wake.clear()
            if time.monotonic() >= retry_at or last_round:
                while self._commit():
                    pass
                retry_at = time.monotonic() + _RETRY_SECONDS if self._error else 0.0
            if last_round:
                return

    def _commit(self) -> bool:
        """Write one batch; True when more is waiting."""
        if not self._unwritten:
            self._unwritten = self._take()
        if self._unwritten:
            try:
                self._journal.append(self._unwritten)
            except sqlite3.Error as error:
                self._error = unwritable(self._journal.path, error)
                self._tell("disk", f"{self._error} Training goes on; the events wait in memory.")
                return False
            self._unwritten = []
            self._error = None
        if not self._held:
            for barrier in self._barriers:
                barrier.set()
            self._barriers.clear()
        return len(self._queue) >= _BATCH

    def _take(self) -> list[tuple[str, int | None, float, str]]:
        items, self._held = self._held, []
        while self._queue and len(items) < _BATCH:
            item = self._queue.popleft()
            if isinstance(item, threading.Event):
                self._barriers.append(item)
            else:
                items.append(item)
        rows: list[tuple[str, int | None, float, str]] = []
        for item in items:
            kind, step, moment, payload = item
            if isinstance(payload, str):
                rows.append((kind, step, moment, payload))
            elif not all(map(is_ready, payload.values())):
                self._held.append(item)
            else:
                self._convert(rows, step, moment, payload)
        return rows

    def _convert(
        self, rows: list[tuple[str, int | None, float, str]], step: int | None, moment: float, values: dict[str, Any]
    ) -> None:
        numbers: dict[str, float | int | str] = {}
        for name, value in values.items():
            try:
                numbers[str(name)] = to_number(value)
            except Exception as error:
                if f"metric {name}" not in self._told:
                    self._tell(f"metric {name}", f"The metric {name!r} at step {step} is not kept: {error}.")
                    rows.append(("problem", step, moment, encode({"metric": str(name), "reason": str(error)})))
        if numbers:
            rows.append(("metrics", step, moment, encode(numbers)))

    def _tell(self, key: str, sentence: str) -> None:
        if key not in self._told:
            self._told.add(key)
            logger.warning(sentence)

    def _forget_after_fork(self) -> None:
        self._refusal = "This process was forked from the one that owns the run, so what it logs is not kept."
        self._queue = collections.deque()


def _after_fork() -> None:
    for writer in list(_writers):
        writer._forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
