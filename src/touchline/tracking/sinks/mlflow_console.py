"""The run's stdout and stderr as the artifact ``console.log``, uploaded again from time to time."""

from __future__ import annotations

import time
from pathlib import Path

from touchline.tracking.journal import FILE_NAME, Event, JournalReader

NAME = "console.log"
UPLOAD_SECONDS = 30.0


class ConsoleText:
    """Collects the text in a file of the run's directory; a new session writes it anew from the journal."""

    def __init__(self, run_directory: Path) -> None:
        self._journal = run_directory / FILE_NAME
        self.path = run_directory / "delivery" / NAME
        self._upto = -1
        self._waiting = False
        self._uploaded = time.monotonic()

    def add(self, event: Event) -> None:
        """Take a ``console`` event."""
        if self._upto < 0:
            self.fill(event.seq - 1)
        if event.seq > self._upto:
            self._write([event])

    def fill(self, upto: int) -> None:
        """Begin with what the journal has up to a sequence number, unless this session has begun already."""
        if self._upto < 0:
            self._upto = 0
            self.path.parent.mkdir(exist_ok=True)
            self.path.write_bytes(b"")
            with JournalReader(self._journal) as journal:
                self._write([event for event in journal.of_kind(["console"]) if event.seq <= upto])
            self._upto = max(self._upto, upto)

    def due(self) -> bool:
        """True when there is new text and the last upload was a while ago."""
        return self._waiting and time.monotonic() - self._uploaded >= UPLOAD_SECONDS

    def has_text(self) -> bool:
        """True when there is anything to upload at the end."""
        return self._waiting and self.path.stat().st_size > 0

    def postpone(self) -> None:
        """The upload failed; the next one is due as if it had not."""
        self._uploaded = time.monotonic()

    def uploaded(self) -> None:
        """The far side has the text as it is."""
        self._waiting = False
        self._uploaded = time.monotonic()

    def _write(self, events: list[Event]) -> None:
        with self.path.open("a", encoding="utf-8", errors="replace", newline="") as file:
            for event in events:
                file.write(str(event.payload.get("text", "")))
                self._upto = event.seq
        self._waiting = self._waiting or bool(events)
