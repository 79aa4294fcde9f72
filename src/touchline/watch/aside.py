"""A function called in a thread of its own, so that nobody waits longer than he wants to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TakesLong(Exception):
    """The call has not come back yet."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer for {seconds:.1f} s")
        self.seconds = seconds
        """Since the call began."""


class Aside(Generic[T]):
    """Calls ``call`` when asked to, one call at a time; ``finish`` follows the last one, in the same thread."""

    def __init__(self, call: Callable[[], T], finish: Callable[[], None], name: str) -> None:
        self._call, self._finish = call, finish
        self._changed = threading.Condition()
        self._is_running = self._is_closed = False
        self._began = 0.0
        self._answer: T | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, timeout: float) -> T:
        """Return what the call returns, or raise what it raises; a call that still runs is waited for.

        Raises:
            TakesLong: when it is not back within ``timeout`` seconds.
        """
        with self._changed:
            if not self._is_running:
                self._is_running, self._began = True, time.monotonic()
                self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._is_running, timeout):
                raise TakesLong(time.monotonic() - self._began)
            answer, error = self._answer, self._error
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]  # without an error the call came back

    def close(self, timeout: float) -> None:
        """End the thread; one that hangs is left behind after ``timeout`` seconds, and ends when it is back."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_running or self._is_closed)
                if self._is_closed:
                    break
            answer: T | None = None
            error: Exception | None = None
            try:
                answer = self._call()
            except Exception as raised:
                error = raised
            with self._changed:
                self._answer, self._error, self._is_running = answer, error, False
                self._changed.notify_all()
        self._finish()
