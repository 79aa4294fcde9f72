"""The writer: takes what the loop logs from a bounded queue and commits it to the journal in batches."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

from touchline.errors import TouchlineError
from touchline.tracking.encoding import encode
from touchline.tracking.journal import Journal, unwritable
from touchline.tracking.ownership import RunLock
from touchline.tracking.queue import EVENT_BYTES, VALUE_BYTES, EventQueue, Item, Overflow, Wake
from touchline.tracking.steps import StepIndex
from touchline.tracking.summary import BestValues
from touchline.tracking.values import are_numbers, histogram, is_plain, is_ready, points, size_of, snapshot, to_number

logger = logging.getLogger("touchline")

COMMIT_SECONDS = 0.04
"""A kill may lose this, and what the thread takes to wake up and to commit: 50 ms in all."""
QUEUE_BYTES = 64 * 1024 * 1024
_BATCH = 8_192
_RETRY_SECONDS = 0.5
_LONGEST_NAME = 200
_LONGEST_REASON = 300

Durability = Literal["batch", "commit"]
Row = tuple[str, int | None, float, str]
_writers: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """Owns a journal and the thread that writes it; every method may be called from any thread."""

    def __init__(
        self,
        journal: Journal,
        *,
        interval: float = COMMIT_SECONDS,
        capacity: int = QUEUE_BYTES,
        overflow: Overflow = "wait",
        durability: Durability = "batch",
        steps: StepIndex | None = None,
        lock: RunLock | None = None,
    ) -> None:
        """``interval`` in seconds between commits, ``capacity`` of the queue in bytes; its end releases ``lock``."""
        self._journal = journal
        self._lock = lock
        self._interval = interval
        self._inline = durability == "commit"
        self._steps = steps or StepIndex()
        self.best = BestValues()
        self._held: list[Item] = []
        self._unwritten: list[Row] = []
        self._barriers: list[threading.Event] = []
        self._told: set[str] = set()
        self._wake = Wake()
        self._queue = EventQueue(capacity, overflow, self._wake.set)
        # The writing thread's, or a log call's that commits inline; a signal handler may log in the middle of one.
        self._writing = threading.RLock()
        self._inside: set[int] = set()
        """Threads in a call that commits: a signal handler that logs in the middle of one must wait for nothing."""
        self._stopping = False
        self._refusal: str | None = None
        self._error: TouchlineError | None = None
        self._retry_at = 0.0
        self._chores: list[Callable[[], None]] = []
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

    @property
    def dropped(self) -> int:
        """Events that found no room in memory while the journal could not be written."""
        return self._queue.dropped

    @property
    def thinned(self) -> int:
        """Metrics events left out because the journal could not keep up, with ``overflow="thin"``."""
        return self._queue.thinned

    def log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Queue a snapshot of ``metrics``; touches no device and no network, the disk only to commit inline."""
        try:
            values = dict(metrics)
        except (TypeError, ValueError):
            kind = type(metrics).__name__
            self.tell("mapping", f"log() takes a mapping of names to numbers, and this is a {kind}; it is not kept.")
            return
        if is_plain(values):
            if self._inline and self._commit_here(values, step):
                return
            size = EVENT_BYTES + VALUE_BYTES * len(values)
        else:
            values = snapshot(values)
            size = size_of(values)
        self._offer(Item("metrics", step, time.time(), values, size))

    def log_curve(self, name: str, steps: Any, values: Any) -> None:
        """Queue the points of one metric; an array is snapshot as a value of ``log`` is."""
        arrays = snapshot({"steps": steps, "values": values})
        self._offer(Item("curve", None, time.time(), {"name": name, **arrays}, size_of(arrays)))

    def log_histogram(self, name: str, values: Any, bins: int, step: int | None) -> None:
        """Queue an array whose distribution is counted off the loop."""
        array = snapshot({"values": values})
        self._offer(Item("histogram", step, time.time(), {"name": name, "bins": bins, **array}, size_of(array)))

    def put(self, kind: str, payload: Mapping[str, Any], step: int | None = None) -> None:
        """Queue any other event; it is committed without waiting for the next interval, whatever the queue holds."""
        if self._refusal is not None:
            self.tell("refusal", self._refusal)
            return
        text = encode(kind, payload)
        item = Item(kind, step, time.time(), text, EVENT_BYTES + len(text))
        if self._inline:
            self._commit_soon(lambda: self._queue.put(item))
        else:
            self._queue.put(item)
            self._wake.set()

    def skip(self, count: int) -> None:
        """Leave out sequence numbers before the next event."""
        with self._writing:
            self._journal.skip(count)

    def every_round(self, chore: Callable[[], None]) -> None:
        """Let the writing thread call ``chore`` after each commit; it must be quick and raise nothing."""
        self._chores.append(chore)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was queued before is committed; False when ``timeout`` seconds did not suffice."""
        if not self._thread.is_alive():
            return not self._queue
        barrier = threading.Event()
        self._queue.put(barrier)
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
            if self._lock is not None:
                self._lock.release()
        return complete

    def uncommitted(self) -> int:
        """Number of events that are only in memory, or lost because the journal could not take them."""
        return self._queue.events() + len(self._held) + len(self._unwritten) + self._queue.dropped

    def tell(self, key: str, sentence: str) -> None:
        """Warn, once for each ``key``."""
        if key not in self._told:
            self._told.add(key)
            logger.warning(sentence)

    def _offer(self, item: Item) -> None:
        if self._refusal is not None:
            self.tell("refusal", self._refusal)
            return
        if self._inline:
            self._commit_soon(lambda: self._enqueue(item))
        else:
            self._enqueue(item)

    def _enqueue(self, item: Item) -> None:
        queue = self._queue
        if not queue.offer(item, self._cannot_write):
            if queue.dropped:
                self.tell("dropped", f"The journal {self._journal.path} takes nothing, so new metrics are dropped.")
            else:
                self.tell("thinned", f"The journal {self._journal.path} cannot keep up, so metrics are thinned out.")
        elif queue.waited:
            self.tell("full", f"The journal {self._journal.path} cannot keep up, so log() had to wait for it.")

    def _cannot_write(self) -> bool:
        return self._error is not None

    def _run(self) -> None:
        while True:
            last_round = self._stopping
            self._wake.wait(self._interval)
            if time.monotonic() >= self._retry_at or last_round:
                with self._writing:
                    while self._commit():
                        pass
            for chore in self._chores:
                try:
                    chore()
                except Exception as error:  # a thread that ended here would take the journal along
                    self.tell(f"chore {chore!r}", f"A look at the run failed ({type(error).__name__}: {error}).")
            if last_round:
                return

    def _commit_here(self, values: Mapping[str, Any], step: int | None) -> bool:
        """Commit numbers in the calling thread, which is quickest; False when something waits before them.

        One statement writes a row and SQLite numbers it, so that an exception from a signal (Ctrl-C, a time-out) at
        any instant leaves the row or nothing. What is longer is left to the writing thread, which no signal reaches.
        """
        me = threading.get_ident()
        if me in self._inside:
            return False
        rows: list[Row] = []
        try:
            self._inside.add(me)
            with self._writing:
                if self._refusal or self._error or self._held or self._unwritten or self._queue:
                    return False
                try:
                    self._add_metrics(rows, step, time.time(), values)
                    while rows:
                        self._journal.append_one(*rows[0])
                        del rows[0]
                except sqlite3.Error as error:
                    self._unwritten += rows
                    self._cannot_write_because(error)
        finally:
            self._inside.discard(me)
        return True

    def _commit_soon(self, enqueue: Callable[[], None]) -> None:
        """Queue something and wait until it is committed, unless the disk refuses."""
        me = threading.get_ident()
        if me in self._inside:
            enqueue()
            self._wake.set()
            return
        try:
            self._inside.add(me)
            enqueue()
            barrier = threading.Event()
            self._queue.put(barrier)
            self._wake.set()
            while not barrier.wait(COMMIT_SECONDS) and self._error is None and self._thread.is_alive():
                pass
        finally:
            self._inside.discard(me)

    def _cannot_write_because(self, error: Exception) -> None:
        self._error = unwritable(self._journal.path, error)
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self.tell("disk", f"{self._error} Training goes on; the events wait in memory.")

    def _commit(self) -> bool:
        """Write one batch; True when more is waiting."""
        if not self._unwritten:
            self._unwritten = self._take()
        if self._unwritten or self._inline:
            try:
                if self._journal.put_back_if_removed():
                    self.tell(
                        "removed",
                        f"The directory of the journal {self._journal.path} was removed while its run goes on. The "
                        "journal is put back whole; media that waited there for delivery are lost.",
                    )
                if self._unwritten:
                    self._journal.append(self._unwritten)
            except Exception as error:  # whatever it is, this thread must not end: the events are tried again
                self._cannot_write_because(error)
                return False
            self._unwritten = []
            self._error = None
            self._retry_at = 0.0
        if not self._held:
            for barrier in self._barriers:
                barrier.set()
            self._barriers.clear()
        return len(self._queue) >= _BATCH or (self._inline and len(self._queue) > 0)

    def _take(self) -> list[Row]:
        items, self._held = self._held, []
        for entry in self._queue.take(_BATCH):
            if isinstance(entry, Item):
                items.append(entry)
            else:
                self._barriers.append(entry)
        rows: list[Row] = []
        for item in items:
            try:
                self._add(rows, item)
            except Exception as error:  # one odd event must not take the others along
                self._set_aside(rows, item.kind, item.step, item.time, f"{type(error).__name__}: {error}")
        return rows

    def _add(self, rows: list[Row], item: Item) -> None:
        if isinstance(item.payload, str):
            rows.append((item.kind, item.step, item.time, item.payload))
        elif not self._inline and not is_plain(item.payload) and not all(map(is_ready, item.payload.values())):
            self._held.append(item)
        elif item.kind == "metrics":
            self._add_metrics(rows, item.step, item.time, item.payload)
        else:
            self._add_array(rows, item)

    def _add_array(self, rows: list[Row], item: Item) -> None:
        name = str(item.payload["name"])
        try:
            if item.kind == "curve":
                for step, value in points(item.payload["steps"], item.payload["values"]):
                    self._add_metrics(rows, step, item.time, {name: value})
            else:
                counted = histogram(item.payload["values"], item.payload["bins"])
                rows.append(("histogram", item.step, item.time, encode("histogram", {"name": name, **counted})))
        except Exception as error:
            self._set_aside(rows, name, item.step, item.time, str(error))

    def _add_metrics(self, rows: list[Row], step: int | None, moment: float, values: Mapping[str, Any]) -> None:
        numbers: dict[str, float | int | str] = {}
        if are_numbers(values):
            numbers = dict(values)
        else:
            for key, value in values.items():
                name = str(key)
                try:
                    number = to_number(value)
                except Exception as error:
                    self._set_aside(rows, name, step, moment, str(error))
                    continue
                if name not in numbers:
                    numbers[name] = number
                else:
                    rows.append(("duplicate", step, moment, encode("duplicate", {name: number})))
                    self._set_aside(rows, name, step, moment, "another name of the same call is the same as text")
        if numbers and step is not None and (again := self._steps.add(numbers, step)):
            again_values = {name: numbers.pop(name) for name in again}
            rows.append(("duplicate", step, moment, encode("duplicate", again_values)))
            for name in again:
                reason = f"it has a value at step {step} already, which stays; give each log call a step of its own"
                self._set_aside(rows, name, step, moment, reason)
        if numbers:
            rows.append(("metrics", step, moment, encode("metrics", numbers)))
            if self.best.goals:
                self.best.add(numbers, step)

    def _set_aside(self, rows: list[Row], name: str, step: int | None, moment: float, reason: str) -> None:
        name, reason = name[:_LONGEST_NAME], reason[:_LONGEST_REASON]
        if f"metric {name}" not in self._told:
            self.tell(f"metric {name}", f"The metric {name!r} at step {step} is set aside: {reason}.")
            rows.append(("problem", step, moment, encode("problem", {"metric": name, "reason": reason})))

    def _forget_after_fork(self) -> None:
        self._refusal = "This process was forked from the one that owns the run, so what it logs is not kept."
        self._queue = EventQueue(self._queue.capacity, "wait", self._wake.set)
        self._inline = False


def _after_fork() -> None:
    for writer in list(_writers):
        writer._forget_after_fork()


os.register_at_fork(after_in_child=_after_fork)
