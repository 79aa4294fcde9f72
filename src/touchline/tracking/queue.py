"""The queue between the training loop and the journal: bounded in bytes, and what happens when it is full."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Overflow = Literal["wait", "thin"]
PATIENCE_SECONDS = 1.0
"""A log call waits at most so long for room, once; while there is none, later calls do not wait again."""
EVENT_BYTES = 200
VALUE_BYTES = 56
"""What an event and each of its numbers take in memory, about: a dict entry, a float, their share of the rest."""
_POLL_SECONDS = 0.001


@dataclass(slots=True)  # not frozen: that costs a log call three times as much
class Item:
    """An event on its way to the journal."""

    kind: str
    step: int | None
    time: float
    payload: Any
    """Encoded text, or for metrics the snapshot of their values."""
    size: int
    """Bytes in memory, about."""


class Wake:
    """Wakes the one thread that waits; unlike ``threading.Event`` it may be set in the middle of being set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let the present or the next wait end."""
        with contextlib.suppress(RuntimeError):  # set already
            self._lock.release()

    def wait(self, timeout: float) -> None:
        """Wait until it is set, at most ``timeout`` seconds."""
        self._lock.acquire(timeout=timeout)


class EventQueue:
    """Takes items from any thread and gives them to the one that writes; a barrier may stand between items."""

    def __init__(self, capacity: int, overflow: Overflow, wake: Callable[[], None]) -> None:
        """``capacity`` in bytes; ``wake`` is called when the writer should hurry."""
        self.capacity = capacity
        self._overflow = overflow
        self._comfort = capacity // 2 if overflow == "thin" else capacity
        self._wake = wake
        self._items: deque[Item | threading.Event] = deque()
        self._lock = threading.RLock()  # a signal handler may log in the middle of a log call
        self._size = 0
        self._offered = 0
        self._exhausted = False
        self.waited = False
        """True once a call had to wait for room."""
        self.dropped = 0
        """Items that found no room."""
        self.thinned = 0
        """Items left out on purpose, by ``overflow="thin"``."""

    def put(self, item: Item | threading.Event) -> None:
        """Append without regard to the capacity: for what must not be lost."""
        with self._lock:
            if isinstance(item, Item):
                self._size += item.size
            self._items.append(item)

    def offer(self, item: Item, hopeless: Callable[[], bool]) -> bool:
        """Append if there is room, or comes to be; ``hopeless`` tells that none will. False when it was left out."""
        # One item alone always fits, however large it is.
        if self._size and self._size + item.size > self._comfort and not self._room(item.size, hopeless):
            return False
        with self._lock:
            self._size += item.size
            self._items.append(item)
        return True

    def _room(self, size: int, hopeless: Callable[[], bool]) -> bool:
        if self._overflow == "thin":
            return self._keeps(size)
        if self._exhausted and self._size and self._size + size > self.capacity:
            self.dropped += 1
            return False
        self.waited = True
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not hopeless() and time.monotonic() < deadline:
            self._wake()
            time.sleep(_POLL_SECONDS)
            if not self._size or self._size + size <= self.capacity:
                self._exhausted = False
                return True
        self._exhausted = True
        self.dropped += 1
        return False

    def _keeps(self, size: int) -> bool:
        """From half full on every 2nd item stays, from three quarters on every 4th, then every 8th, and so on."""
        self._wake()
        self._offered += 1
        free = (self.capacity - self._size - size) / self.capacity
        every = 2 if free <= 0.5 else 1
        while free < 0.5 / every and every < 1_024:
            every *= 2
        if free > 0 and self._offered % every == 0:
            return True
        self.thinned += 1
        return False

    def take(self, count: int) -> list[Item | threading.Event]:
        """Remove and return up to ``count`` entries; only one thread may take."""
        entries: list[Item | threading.Event] = []
        pop, size = self._items.popleft, 0
        while self._items and len(entries) < count:
            entries.append(entry := pop())
            if isinstance(entry, Item):
                size += entry.size
        with self._lock:  # not around the loop: a log call would wait for all of it
            self._size -= size
        if not self._items:
            self._exhausted = False
        return entries

    def __len__(self) -> int:
        return len(self._items)

    def events(self) -> int:
        """Number of items, barriers left out."""
        return sum(isinstance(entry, Item) for entry in list(self._items))
