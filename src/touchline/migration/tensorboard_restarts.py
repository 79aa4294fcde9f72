"""What a restart superseded in the event files of one directory, by the rules of TensorBoard's own reader.

A writer that is opened with a ``purge_step`` says with a session's start from which step on no earlier value of any
tag counts. Files of before version 2 do not say it: there a step below the newest supersedes its tags' later ones.
Source: ``_MaybePurgeOrphanedData`` in tensorboard/backend/event_processing/event_accumulator.py. Its counterpart in
plugin_event_accumulator.py lets the first start pass, which is torch's only one when the first writer had no
``purge_step``, but drops values of every kind, where the former keeps tensors; we take every start and every kind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from touchline.migration.tensorboard_file import load, load_unchecked

_EVERY_TAG = ""


class Watch:
    """Notices restarts while the events of a directory go by."""

    def __init__(self) -> None:
        from tensorboard.backend.event_processing.event_util import ParseFileVersion
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._parse_version, self._start = ParseFileVersion, SessionLog.START
        self.seen = 0
        """How many there were so far."""
        self._version: float | None = None
        self._newest_step = -1

    def take(self, event: Any) -> tuple[str, ...]:
        """The tags that the event begins anew at its step, mostly none."""
        if event.HasField("file_version"):
            self._version = self._parse_version(event.file_version)
        tags: tuple[str, ...] = ()
        if self._version and self._version >= 2:
            if event.HasField("session_log") and event.session_log.status == self._start:
                tags = (_EVERY_TAG,)
        elif event.step < self._newest_step and event.HasField("summary"):
            tags = tuple(value.tag for value in event.summary.value)
        else:
            self._newest_step = event.step
        self.seen += bool(tags)
        return tags


class Restarts:
    """All restarts of a directory, known beforehand, so that what they superseded need not be taken back."""

    def __init__(self, files: Iterable[Path]) -> None:
        """``files`` are the event files of one directory in their order."""
        paths = list(files)
        # To check what is read takes long, and most directories have no restart.
        self._by_tag = _found(load_unchecked(paths)) and _found(event for path in paths for event in load(path))

    def superseding(self, tag: str, step: int, seen: int) -> int | None:
        """The step of a restart after the first ``seen`` that superseded what ``tag`` has at ``step``; None: none."""
        lowest = None
        for key in (_EVERY_TAG, tag):
            numbers, steps = self._by_tag.get(key, ((), ()))
            later = bisect_left(numbers, seen)
            if later < len(steps) and step >= steps[later]:
                lowest = steps[later] if lowest is None else min(lowest, steps[later])
        return lowest


def _found(stream: Iterator[Any]) -> dict[str, tuple[list[int], list[int]]]:
    """By tag, the numbers of its restarts, and the lowest step of each and those after it."""
    watch = Watch()
    found: dict[str, tuple[list[int], list[int]]] = {}
    for event in stream:
        for tag in watch.take(event):
            numbers, steps = found.setdefault(tag, ([], []))
            numbers.append(watch.seen - 1)
            steps.append(event.step)
    for _, steps in found.values():
        for place in reversed(range(len(steps) - 1)):
            steps[place] = min(steps[place], steps[place + 1])
    return found
