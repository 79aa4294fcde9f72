"""SIGTERM and Ctrl-C as a flag that a loop looks at between steps, so that it can save and leave cleanly."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Literal

Reason = Literal["interrupted", "preempted"]

_REASONS: dict[int, Reason] = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}


class StopSignal:
    """A context in which the first SIGTERM or SIGINT sets a flag instead of ending the process.

    A SIGINT when a stop is requested already raises KeyboardInterrupt at once; a second SIGTERM changes nothing,
    since schedulers repeat it.
    The handlers from before are put back at the end. Outside the main thread, where Python allows no handlers,
    the flag can only be set with ``request``.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: Reason | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the loop should stop at its next boundary."""
        return self._event.is_set()

    @property
    def reason(self) -> Reason | None:
        """``interrupted`` (SIGINT), ``preempted`` (SIGTERM), or None while nothing was requested."""
        return self._reason

    def request(self, reason: Reason) -> None:
        """Set the flag as a signal would; the first reason stays."""
        self._reason = self._reason or reason
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a stop is requested; returns whether it was."""
        return self._event.wait(timeout)

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in _REASONS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: the handler was not set by Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested:
            raise KeyboardInterrupt
        self.request(_REASONS[number])
