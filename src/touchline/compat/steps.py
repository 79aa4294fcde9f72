"""Steps for values that come without one: the next that is free, so that no value is set aside."""

from __future__ import annotations

import threading
from pathlib import Path

from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.rewind import Timeline


class FreeSteps:
    """Remembers each metric's newest step; reads the steps of a run that goes on when they are first asked for."""

    def __init__(self, directory: Path | None = None) -> None:
        """``directory`` of a run that an earlier process began; None for a new one."""
        self._directory = directory
        self._newest: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, name: str, wanted: int = 0) -> int:
        """The step for a value of ``name``: ``wanted`` where that is after the newest one, else the next after it."""
        with self._lock:
            self._read()
            step = max(wanted, self._newest.get(name, -1) + 1)
            self._newest[name] = step
        return step

    def note(self, name: str, step: int) -> None:
        """A value was logged at a step of the caller's."""
        with self._lock:
            if step > self._newest.get(name, -1):
                self._newest[name] = step

    def _read(self) -> None:
        if self._directory is None:
            return
        directory, self._directory = self._directory, None
        with JournalReader(directory / FILE_NAME) as journal:
            timeline = Timeline.of(journal.of_kind(["rewind"]))
            for event in journal.all():
                if event.kind == "metrics" and event.step is not None and timeline.is_current(event):
                    for name in event.payload:
                        if event.step > self._newest.get(name, -1):
                            self._newest[name] = event.step
