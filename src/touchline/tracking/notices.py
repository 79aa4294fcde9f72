"""What the person who watches the training should hear of the delivery, each thing once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from touchline.tracking.delivery import read_cursor

LOOK_SECONDS = 5.0
SLOW_SECONDS = 2.0
"""A delivery that takes longer is worth a word."""
_told: set[str] = set()
"""What this process was told: the runs of a pipeline share their outages."""


class DeliveryNotices:
    """Looks at the cursors from time to time; called by the journal's thread, never by the loop."""

    def __init__(self, directory: Path, sinks: Sequence[str], tell: Callable[[str, str], None]) -> None:
        """``tell`` takes a key, which makes a sentence unique, and the sentence."""
        self._directory = directory
        self._sinks = tuple(sinks)
        self._tell = tell
        self._next = time.monotonic() + LOOK_SECONDS

    def look(self) -> None:
        """Tell what is new, at most every LOOK_SECONDS."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        for sink in self._sinks:
            cursor = read_cursor(self._directory, sink)
            if cursor.state in ("waiting", "refused") and cursor.reason and cursor.reason not in _told:
                _told.add(cursor.reason)
                sentence = f"{cursor.reason.rstrip('.')}. Training goes on; the journal keeps everything."
                self._tell(f"waiting {sink}", sentence)
            if cursor.slowest_seconds > SLOW_SECONDS:
                self._tell(
                    f"slow {sink}",
                    f"A delivery to {sink} took {cursor.slowest_seconds:.1f} s. Training does not wait for it, but "
                    f"what {sink} shows is late; log less often, or thin it with TOUCHLINE_THIN_SECONDS={sink}=1.0",
                )
