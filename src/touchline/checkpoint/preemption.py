"""SIGTERM, Ctrl-C and a cloud's notice as a flag that a loop looks at between steps, to save and leave cleanly."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Literal

from touchline.checkpoint.notices import PreemptionNotices, Source

Reason = Literal["interrupted", "preempted"]

_REASONS: dict[int, Reason] = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}


class StopSignal:
    """A context in which the first SIGTERM or SIGINT sets a flag instead of ending the process.

    With ``notices`` the flag is also set when the metadata service of the machine's cloud announces that the machine
    is taken back, which is before SIGTERM, or where none comes; on a machine that is no cloud's nobody is asked::

        with StopSignal(notices="auto") as stop:
            while step < steps and not stop.requested:
                step = train(step)
        save(step)

    A SIGINT when a stop is requested already raises KeyboardInterrupt at once; a second SIGTERM changes nothing,
    since schedulers repeat it.
    The handlers from before are put back at the end. Outside the main thread, where Python allows no handlers,
    the flag can only be set with ``request``.
    """

    def __init__(self, notices: Source | PreemptionNotices = "off") -> None:
        """``notices`` is the cloud to ask: ``auto``, ``off``, ``gcp``, ``aws``, ``azure``, or one made by hand.

        Raises UsageError on another one.
        """
        self._notices = notices if isinstance(notices, PreemptionNotices) else PreemptionNotices(notices)
        self._event = threading.Event()
        self._request: tuple[Reason, str | None] | None = None
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the loop should stop at its next boundary."""
        return self._event.is_set()

    @property
    def reason(self) -> Reason | None:
        """``interrupted`` (SIGINT), ``preempted`` (SIGTERM, a notice), or None while nothing was requested."""
        return self._request[0] if self._request else None

    @property
    def told(self) -> str | None:
        """The sentence that came with the request, such as who announced the preemption; None with a signal."""
        return self._request[1] if self._request else None

    def request(self, reason: Reason, told: str | None = None) -> None:
        """Set the flag as a signal would, with a sentence that explains it; the first request stays."""
        self._request = self._request or (reason, told)
        self._event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until a stop is requested; returns whether it was."""
        return self._event.wait(timeout)

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            for number in _REASONS:
                self._before[number] = signal.signal(number, self._handle)
        self._notices.start(lambda told: self.request("preempted", told))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notices.stop()
        for number, handler in self._before.items():
            # None: the handler was not set by Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested:
            raise KeyboardInterrupt
        self.request(_REASONS[number])
