"""What a run records beside its metrics: where it comes from, what is installed, and what it prints.

``settings.capture`` names the parts; everything happens off the loop and reaches the sinks as journal events.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchline.errors import unknown
from touchline.tracking.capture.console import ConsoleCapture
from touchline.tracking.capture.source import SourceCapture

PARTS = ("source", "packages", "console")
FACTS = ("git.", "source.", "system.")
"""Captured tags begin so: facts of a run, which a sink whose tags are labels keeps elsewhere."""
WAIT_SECONDS = 5.0
"""The end of a run that is shorter than its capture waits at most so long for it."""


class Capture:
    """All that is captured for one run."""

    def __init__(
        self, put: Callable[[str, Mapping[str, Any]], None], directory: Path, parts: Sequence[str], console_bytes: int
    ) -> None:
        """Start what ``parts`` name; ``console_bytes`` bounds what is kept of stdout and stderr."""
        self.console = ConsoleCapture(put, console_bytes) if "console" in parts else None
        wanted = [part for part in parts if part != "console"]
        self._source = SourceCapture(put, directory, wanted) if wanted else None

    def look(self) -> None:
        """Put what was printed lately; called by the journal's thread."""
        if self.console is not None:
            self.console.look()

    def stop(self, timeout: float, error: BaseException | None = None) -> None:
        """Restore the streams and put the rest, with the traceback of what ended the run.

        Waits for what is being collected at most ``timeout`` seconds, and never longer than WAIT_SECONDS.
        """
        if self._source is not None:
            self._source.stop(min(timeout, WAIT_SECONDS))
        if self.console is not None:
            if error is not None:
                self.console.tell("".join(traceback.format_exception(error)))
            self.console.stop()


def check_parts(parts: Sequence[str]) -> None:
    """Raise UsageError when a name is none of PARTS."""
    for part in parts:
        if part not in PARTS:
            raise unknown("part to capture", part, PARTS)
