"""Threads that keep one slow or hung run from holding up the others of a courier."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

logger = logging.getLogger("touchline.courier")

PATIENCE_SECONDS = 2.0
"""One call is waited for so long; then the others go on beside it."""
STUCK_SECONDS = 120.0
"""After a call that takes longer, waits for a processor left out, the process is replaced: only that ends a hung
thread."""
FROZEN_SECONDS = 600.0
"""A courier whose own loop does not turn for so long ends itself."""
_THREADS = 64


class _Call:
    """A call that goes on in its thread, after it was waited for."""

    def __init__(self, future: Future[bool | None]) -> None:
        self.future = future
        self._began = time.monotonic()
        self._waits_before = processor_waits()

    def is_stuck(self) -> bool:
        """Whether it goes on for too long, without the time in which this process was ready and had no processor.

        A courier is the least of all processes: on a crowded machine what takes 2 s may take minutes, and a process
        that is replaced for that begins anew and never gets further. Any thread's wait counts, since the call's own
        may be waiting for what another one holds, such as the lock of an import.
        """
        lasted = time.monotonic() - self._began
        if lasted <= STUCK_SECONDS:
            return False
        waits = processor_waits()
        return lasted - max(waits[thread] - self._waits_before.get(thread, 0.0) for thread in waits) > STUCK_SECONDS


def processor_waits() -> dict[int, float]:
    """Seconds that each thread of this process was ready and had no processor; 0 where the kernel tells none."""
    waits = {threading.get_native_id(): 0.0}
    for file in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # a thread may end meanwhile
            waits[int(file.parent.name)] = int(file.read_text().split()[1]) / 1e9
    return waits


Failed = Callable[[str, Exception], None]


class Workers:
    """Calls one at a time as long as they are quick; a slow one goes on in its thread, and is collected later."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="touchline-route")
        self._busy: dict[str, _Call] = {}
        self._turned = time.monotonic()

    def end_process_when_frozen(self) -> None:
        """From now on, end this process when nobody says for ten minutes that its loop turns."""
        self.alive()
        threading.Thread(target=self._watch, name="touchline-courier-watchdog", daemon=True).start()

    def alive(self) -> None:
        """Say that the courier's loop turns."""
        self._turned = time.monotonic()

    def call(self, run_id: str, function: Callable[[], bool | None], failed: Failed | None = None) -> bool:
        """Call and return the result; False while it goes on. ``failed`` gets the run's id and the exception."""
        future = self._pool.submit(function)
        wait([future], PATIENCE_SECONDS)
        if not future.done():
            self._busy[run_id] = _Call(future)
            return False
        return self._result(run_id, future, failed)

    def collect(self, failed: Failed) -> bool:
        """Take the results of slow calls that are done by now; True when one of them moved something."""
        moved = False
        for run_id, call in list(self._busy.items()):
            if call.future.done():
                del self._busy[run_id]
                moved = self._result(run_id, call.future, failed) or moved
        return moved

    def give_up(self) -> list[str]:
        """Ids of the runs whose call hangs; nothing but the end of the process helps them."""
        return [run_id for run_id, call in self._busy.items() if call.is_stuck()]

    def is_busy(self, run_id: str) -> bool:
        """True while a call for the run goes on."""
        return run_id in self._busy

    def busy_ones(self) -> list[str]:
        """Ids of the runs for which a call goes on."""
        return list(self._busy)

    def is_anyone_busy(self) -> bool:
        """True while any call goes on."""
        return bool(self._busy)

    def _result(self, run_id: str, future: Future[bool | None], failed: Failed | None) -> bool:
        error = future.exception()
        if error is None:
            return bool(future.result())
        if not isinstance(error, Exception):
            raise error
        if failed is not None:
            failed(run_id, error)
        return False

    def _watch(self) -> None:
        while time.monotonic() - self._turned < FROZEN_SECONDS:
            time.sleep(FROZEN_SECONDS / 20)
        logger.error("the courier did not turn for %.0f s and ends", FROZEN_SECONDS)
        os._exit(1)
