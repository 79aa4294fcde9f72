"""What a library logs again when it goes on from a checkpoint of its own, in a run that had gone further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.rewind import Timeline
from touchline.tracking.run import Run


class Replay:
    """Leaves out what a resumed run has from an earlier process: its values stay, as they do on both tracks.

    Where the checkpoint is the library's, nobody tells the run to which step it goes back. What comes twice from
    this process is left to the run, which tells of it.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._until: int | None = None
        self._known: dict[int, set[str]] | None = None

    def left(self, metrics: Mapping[str, Any], step: int | None) -> dict[str, Any]:
        """Return the metrics that have no value at ``step`` from an earlier process.

        After the last step of that one this costs a comparison; the first step before reads the journal.
        """
        if self._until is None:
            self._until = self._last_step()
        if step is None or step > self._until:
            return dict(metrics)
        if self._known is None:
            self._known = self._read(step)
        known = self._known.get(step, ())
        return {name: value for name, value in metrics.items() if str(name) not in known}

    def _last_step(self) -> int:
        if not self._run.resumed:
            return -1
        with JournalReader(self._run.directory / FILE_NAME) as journal:
            step = journal.highest_step()
        return -1 if step is None else step

    def _read(self, first: int) -> dict[int, set[str]]:
        """The names that earlier processes logged at each step from ``first`` on."""
        found: dict[int, set[str]] = {}
        with JournalReader(self._run.directory / FILE_NAME) as journal:
            start = journal.newest("start")
            timeline = Timeline.of(journal.of_kind(["rewind"]))
            for event in journal.all():
                if start is not None and event.seq >= start.seq:  # this process began
                    break
                if event.kind != "metrics" or not timeline.is_current(event):
                    continue
                if (step := event.step) is not None and step >= first:
                    found.setdefault(step, set()).update(event.payload)
        return found
