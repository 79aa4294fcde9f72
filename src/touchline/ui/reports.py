"""Reports, made when somebody asks for one and kept while nothing of theirs changes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from touchline.config import Settings
from touchline.jobs.base import JOBS
from touchline.report.page import read_contents, render
from touchline.report.subject import Subject, find_subject
from touchline.tracking.route import signature_of
from touchline.ui.run import known_runs, readable

PATIENCE_SECONDS = 1.0
"""A request waits so long for its report, and else is told to come again."""
FRESH_SECONDS = 10.0
"""The report of a run that goes on is not made more often than this."""
MOST_KEPT = 8
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load, which has all in itself."""


@dataclass(frozen=True)
class _Making:
    page: Future[bytes]
    signature: tuple[object, ...]
    begun: float


@dataclass
class Reports:
    """Any thread may ask; reports are made one after the other."""

    settings: Settings
    _made: OrderedDict[str, _Making] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def of(self, word: str) -> bytes | None:
        """The page of a run, pipeline or group, None while it is being made.

        Raises TouchlineError when there is no such thing, or it cannot be read.
        """
        with self._lock:
            making = self._made.get(word)
            if making is None or making.page.done():
                making = self._newest(self._subject(word), making)
        wait([making.page], PATIENCE_SECONDS)
        if not making.page.done():
            return None
        if making.page.exception() is not None:
            with self._lock:
                self._made.pop(word, None)
        return making.page.result()

    def _subject(self, word: str) -> Subject:
        if word in known_runs(self.settings):
            return Subject("run", word, (word,))
        return find_subject(self.settings, word)

    def _newest(self, subject: Subject, before: _Making | None) -> _Making:
        now = time.monotonic()
        with readable(subject.name):
            signature = tuple(signature_of(self.settings.run_directory(run)) for run in subject.runs)
        if before is not None and (signature == before.signature or now - before.begun < FRESH_SECONDS):
            return before
        making = self._made[subject.name] = _Making(Future(), signature, now)
        self._made.move_to_end(subject.name)
        while len(self._made) > MOST_KEPT:
            self._made.popitem(last=False)
        # Not in a pool, whose threads Python would wait for when it ends.
        threading.Thread(target=self._make, args=(subject, making.page), daemon=True).start()
        return making

    def _make(self, subject: Subject, page: Future[bytes]) -> None:
        with self._one_at_a_time:
            try:
                page.set_result(render(read_contents(subject, self.settings, tuple(JOBS))).encode())
            except BaseException as error:  # told to whoever asked
                page.set_exception(error)
