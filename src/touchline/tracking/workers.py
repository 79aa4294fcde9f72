"""Threads that keep one slow or hung run from holding up the others of a courier."""

from __future__ import annotations

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
    """A call that goes on in its thread."""

    def __init__(self, future: Future[bool | None], thread: Future[int]) -> None:
        self.future = future
        self._thread = thread
        self._began = time.monotonic()
        self._waited_before = self._waited()

    def seconds(self) -> float:
        """How long it has gone on, without the time in which it was ready and others had the processors.

        A courier is the least of all processes: on a crowded machine what takes 2 s may take minutes, and a process
        that is replaced for that begins anew and never gets further.
        """
        return time.monotonic() - self._began - (self._waited() - self._waited_before)

    def _waited(self) -> float:
        return processor_wait(self._thread.result()) if self._thread.done() else 0.0


def processor_wait(thread: int) -> float:
    """Seconds that a thread of this process was ready to run and had no processor; 0 where the kernel tells none."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


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
        thread: Future[int] = Future()

        def begin() -> bool | None:
            thread.set_result(threading.get_native_id())
            return function()

        future = self._pool.submit(begin)
        wait([future], PATIENCE_SECONDS)
        if not future.done():
            self._busy[run_id] = _Call(future, thread)
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
        return [run_id for run_id, call in self._busy.items() if call.seconds() > STUCK_SECONDS]

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
