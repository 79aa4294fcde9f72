"""The run: how it lives and ends, and how far its delivery is; what it records is in ``events.py``."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.capture import Capture
from touchline.tracking.delivery import Delivery, read_cursor, read_delivery, refusals
from touchline.tracking.events import RunEvents
from touchline.tracking.exit import last_error
from touchline.tracking.film import FINISH_SECONDS
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.launch import ensure_courier
from touchline.tracking.notices import DeliveryNotices
from touchline.tracking.reports import Pruned
from touchline.tracking.writer import JournalWriter

if TYPE_CHECKING:
    from touchline.tracking.sinks.console_view import ConsoleView

logger = logging.getLogger("touchline")

Status = Literal["finished", "failed", "killed", "preempted", "pruned"]
STATUSES = ("finished", "failed", "killed", "preempted", "pruned")
JOURNAL_SECONDS = 2.0
"""The last events get so long to reach the journal even when nobody wants to wait for the sinks."""
OUTAGE_SECONDS = 3.0
"""Where a far side is known to be away, the end of a run waits so long for one more attempt."""
INTERRUPTED_CODE, PREEMPTED_CODE = 130, 143
"""Exit codes of a shell for Ctrl-C and SIGTERM, with which ``CheckpointStore.maybe_save`` ends a process too."""
_POLL_SECONDS = 0.05
_SILENT_SECONDS = 20.0
"""A wait for a sink that is longer is told."""
_RESTART_SECONDS = 2.0


class Run(RunEvents):
    """One run; every method returns at once and may be called from any thread. Made by ``start_run``."""

    def __init__(self, run_id: str, job: str, directory: Path, settings: Settings, writer: JournalWriter) -> None:
        super().__init__(run_id, directory, settings, writer)
        self.job = job
        self.resumed = False
        """True when an earlier process began this run."""
        self._ended = self._end_told = False
        self._end_as: tuple[str, str] | None = None
        self._owner = os.getpid()
        self._couriers_seen = 0.0
        self._capture: Capture | None = None
        self._failure: BaseException | None = None
        self._view: ConsoleView | None = None
        writer.every_round(DeliveryNotices(directory, settings.sinks, writer.tell).look)
        atexit.register(self._end_with_process)

    def save_journal(self, directory: Path | str, step: int | None = None) -> Path:
        """Write a consistent copy of the journal into a checkpoint's ``directory`` and return its path.

        ``start_run(resume=directory)`` goes on from it, here or on another machine, at ``step`` (None: the last
        one). Waits for what was logged before. Raises TouchlineError when it cannot be written.
        """
        step = self._at(step)
        self._writer.put("checkpoint", {"directory": str(directory)}, step)
        if not self._writer.flush(JOURNAL_SECONDS * 5):
            raise self._writer.error or TouchlineError(
                f"The journal of run {self.id} took no events within {JOURNAL_SECONDS * 5:g} s, so it was not "
                "copied. Check the disk of its directory."
            )
        target = Path(directory) / FILE_NAME
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TouchlineError(
                f"The directory {directory} cannot be made ({error.strerror}). Choose another."
            ) from error
        with JournalReader(self.directory / FILE_NAME) as journal:
            journal.backup(target)
        return target

    def finish(self, status: Status = "finished", timeout: float = 30.0, reason: str = "") -> Delivery:
        """End the run and wait at most ``timeout`` seconds for the couriers; they go on with what is left.

        Of these, at most 20 s are for videos that are being encoded. With 0 it returns once the journal has
        everything, which takes milliseconds; videos that are not encoded by then are dropped.

        Returns what each sink has. Raises TouchlineError when events could not be written to the journal.
        """
        if status not in STATUSES:
            raise UsageError(f"A run ends as one of {', '.join(STATUSES)}, and this is {status!r}.")
        if os.getpid() != self._owner:
            self._writer.put("end", {})  # which a forked child's writer refuses, with a word
            return self.delivery()
        deadline, ended = time.monotonic() + timeout, time.time()
        self._end(status, reason, timeout)
        while not (delivery := self.delivery()).settled(ended) and time.monotonic() < deadline:
            if time.time() - ended > OUTAGE_SECONDS and delivery.settled(0.0):
                break
            self._keep_couriers(self.settings.sinks)
            time.sleep(_POLL_SECONDS)
        for state in delivery.values():
            if state.set_aside:
                logger.warning(refusals(state.sink, self.id, state.set_aside))
        return delivery

    def delivery(self) -> Delivery:
        """What each sink has of this run, by sink name."""
        return read_delivery(self.directory, self.settings.sinks)

    def wait_delivered(
        self, sink: str, timeout: float = 60.0, slow: float = 0.0, give_up: Callable[[], bool] = lambda: False
    ) -> bool:
        """Wait until ``sink`` has all that was logged before this call; False when it has not in time.

        In time is within ``timeout`` seconds, or within ``slow`` if that is longer and the sink has no trouble to
        tell of: on a crowded machine a courier, which leaves the processors to everybody else, takes its time. It
        is also False once ``give_up``, asked again and again, says so. A wait that is long is told in one line.
        """
        if sink not in self.settings.sinks:
            raise UsageError(f"The run {self.id} has no sink {sink!r}. Its sinks: {', '.join(self.settings.sinks)}.")
        began = time.monotonic()
        if not self._ended and not self._writer.flush(timeout):
            return False
        wanted, is_told = self._writer.last_seq, False
        while (cursor := read_cursor(self.directory, sink)).delivered < wanted:
            seconds = time.monotonic() - began
            if (seconds >= timeout and (seconds >= slow or cursor.reason)) or give_up():
                return False
            if seconds >= _SILENT_SECONDS and not is_told:
                longest = max(timeout, slow)
                logger.warning(f"Waiting up to {longest:,.0f} s for {sink} to take what run {self.id} has logged.")
                is_told = True
            self._keep_couriers((sink,))
            time.sleep(_POLL_SECONDS)
        return True

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the MLflow run once the courier has opened it, else None; see ``wait_delivered``."""
        return read_cursor(self.directory, "mlflow").remote_id or None

    def __repr__(self) -> str:
        return f"<Run {self.id}, job {self.job}, in {self.directory}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: state, curves, and where it can be looked at."""
        from touchline.tracking.card import card_of

        self._writer.flush(JOURNAL_SECONDS)
        return card_of(self.directory)

    def __reduce__(self) -> NoReturn:
        raise TouchlineError(
            f"The run {self.id} cannot be copied or sent to another process. Log in the process that started it; "
            "a worker may send it the values."
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        status, reason = _verdict(error)
        self._failure = error
        try:
            self.finish(status, reason=reason)
        except TouchlineError as second:
            if error is None:
                raise
            logger.warning("%s", second)

    def _start_capture(self) -> None:
        settings = self.settings
        self._capture = Capture(self._writer.put, self.directory, settings.capture, settings.console_bytes)
        self._writer.every_round(self._capture.look)

    def _show(self) -> None:
        from touchline.tracking.sinks.console_view import ConsoleView

        self._view = ConsoleView(self.directory, self.settings)
        self._is_shown = True

    def _start_couriers(self, sinks: Iterable[str]) -> None:
        self._couriers_seen = time.monotonic()
        for sink in sinks:
            try:
                ensure_courier(self.settings, sink)
            except TouchlineError as error:
                logger.warning("%s", error)

    def _keep_couriers(self, sinks: Iterable[str]) -> None:
        """Start again what died while someone waits for it; one that left because it needs a person stays away."""
        if time.monotonic() - self._couriers_seen > _RESTART_SECONDS:
            delivery = self.delivery()
            self._start_couriers([sink for sink in sinks if not delivery[sink].needs_person])

    def _end(self, status: str, reason: str, timeout: float) -> None:
        if self._ended:
            return
        self._ended, self._end_as = True, (status, reason)
        if status == "pruned":
            self.set_tags({"pruned": ""})  # by which W&B's table of runs can be filtered
        try:
            self._videos.close(min(timeout, FINISH_SECONDS))
        finally:  # a person who does not wait for a video wants the journal all the same
            self._end_journal(status, reason, timeout)

    def _end_journal(self, status: str, reason: str, timeout: float) -> None:
        bound = min(max(timeout, JOURNAL_SECONDS), 10.0)
        if self._capture is not None:
            self._writer.flush(JOURNAL_SECONDS / 2)  # what is told of the last values is output too
            self._capture.stop(timeout, self._failure)
        self._summarise(bound)
        self._writer.put("end", {"status": status, "reason": reason})
        self._end_told = True
        atexit.unregister(self._end_with_process)
        written = self._writer.close(bound)
        if self._view is not None:
            self._view.close()
        lost = self._writer.uncommitted()  # none where the last batch came in time after all
        if lost and (not written or self._writer.dropped):
            cause = self._writer.error or "The journal did not take them in time."
            raise TouchlineError(f"{lost} events of run {self.id} are not in its journal. {cause}")

    def _summarise(self, timeout: float) -> None:
        best = self._writer.best
        if not (best.goals or self.resumed) or not self._writer.flush(timeout):
            return
        if self.resumed:
            with JournalReader(self.directory / FILE_NAME) as journal:
                best.add_journal(journal)
        if summary := best.summary():
            self.set_summary(summary)

    def _end_with_process(self) -> None:
        """Called when the process ends without ``finish``; an unhandled exception is known by then."""
        if self._end_told or os.getpid() != self._owner:
            return
        try:
            if self._end_as is not None:  # Ctrl-C came in the middle of finish()
                self._end_journal(*self._end_as, timeout=5.0)
            else:
                status, reason = _verdict(last_error())
                self._end(status, reason or "The process ended without run.finish().", timeout=5.0)
        except TouchlineError as problem:
            logger.warning("%s", problem)


def _verdict(error: BaseException | None) -> tuple[Status, str]:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", ""
    code = error.code if isinstance(error, SystemExit) else None
    if code == PREEMPTED_CODE:
        return "preempted", "The machine was taken back."
    if isinstance(error, Pruned):
        return "pruned", str(error)
    if isinstance(error, KeyboardInterrupt) or code == INTERRUPTED_CODE:
        return "killed", "Interrupted from the keyboard."
    return "failed", f"{type(error).__name__}: {error}"
