"""Delivery in the foreground: the same couriers, started on request and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from touchline.config import Settings
from touchline.errors import TouchlineError, unknown
from touchline.tracking.delivery import Delivery, SinkState, read_delivery
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.launch import CourierLock, ensure_courier
from touchline.tracking.one_route import refusal
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.sinks import far_sides, known_sinks

POLL_SECONDS = 0.1
_ATTEMPTS = 3
_STALLED_SECONDS = 60.0
_WAITING_SECONDS = 5.0


@dataclass(frozen=True)
class SyncReport:
    """What every sink has of every run after a sync."""

    deliveries: tuple[Delivery, ...]
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By run and sink, why the present settings do not deliver: the run takes another route."""

    @property
    def complete(self) -> bool:
        """True when no sink lacks an event, and each was told how the ended runs ended."""
        return not self.gaps

    @property
    def gaps(self) -> list[str]:
        """One sentence for each run and sink with something missing, reason and remedy included."""
        ours = [
            Delivery(run.run_id, [state for state in run.values() if (run.run_id, state.sink) not in self.refused])
            for run in self.deliveries
        ]
        return [*(sentence for delivery in ours for sentence in delivery.sentences()), *self.refused.values()]

    @property
    def exit_code(self) -> int:
        """0 when complete, else 1, for the command line."""
        return 0 if self.complete else 1


def run_ids(settings: Settings) -> list[str]:
    """Ids of all runs of the home, oldest first (they begin with their time)."""
    if not settings.runs.is_dir():
        return []
    return sorted(entry.name for entry in settings.runs.iterdir() if (entry / FILE_NAME).is_file())


def sync(
    settings: Settings,
    runs: Sequence[str] | None = None,
    sinks: Sequence[str] | None = None,
    *,
    timeout: float = 3_600.0,
    progress: Callable[[SyncReport], None] | None = None,
) -> SyncReport:
    """Deliver what the sinks lack of ``runs`` (None: all) to ``sinks`` (None: the configured ones).

    Returns when all is delivered, when no sink can get further, or after ``timeout`` seconds. Raises UsageError
    on a run or a sink that does not exist.
    """
    known = run_ids(settings)
    chosen = list(known if runs is None else runs)
    targets = list(far_sides(settings.sinks if sinks is None else sinks))
    for run_id in chosen:
        if run_id not in known:
            raise unknown("run", run_id, known)
    known_sinks(targets)
    refused = {
        (run_id, sink): sentence
        for run_id in chosen
        for sink in targets
        if (sentence := refusal(settings.run_directory(run_id), sink, settings)) is not None
    }
    patience = _Patience(time.monotonic() + timeout)
    attempts = dict.fromkeys(targets, 0)
    while True:
        deliveries = tuple(read_delivery(settings.run_directory(run_id), targets) for run_id in chosen)
        report = SyncReport(deliveries, refused)
        if progress is not None:
            progress(report)
        lacking = {
            sink: {
                delivery[sink]
                for delivery in report.deliveries
                if (delivery.run_id, sink) not in refused and _lacks(settings, delivery, sink)
            }
            for sink in targets
        }
        idle = [sink for sink in targets if lacking[sink] and not CourierLock(settings, sink).is_held()]
        # A drain that has said why it waits would say the same again.
        startable = [
            sink
            for sink in idle
            if not attempts[sink]
            or (attempts[sink] < _ATTEMPTS and any(state.state != "waiting" for state in lacking[sink]))
        ]
        moving = [sink for sink in targets if lacking[sink] and sink not in idle]
        if not (startable or moving) or patience.is_over([state for sink in moving for state in lacking[sink]]):
            return report
        for sink in startable:
            attempts[sink] += 1
            process = ensure_courier(settings, sink, drain=True, runs=chosen)
            if process is not None:
                _await_start(settings, sink, process.poll)
        time.sleep(POLL_SECONDS)


class _Patience:
    """Ends a wait at its deadline, or when other couriers have shown no progress for a while."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._seen: object = None
        self._since = time.monotonic()

    def is_over(self, states: Sequence[SinkState]) -> bool:
        now = time.monotonic()
        seen = sorted((state.sink, state.delivered, state.state) for state in states)
        if seen != self._seen:
            self._seen, self._since = seen, now
        waiting = bool(states) and all(state.state == "waiting" for state in states)
        return now >= self._deadline or now - self._since > (_WAITING_SECONDS if waiting else _STALLED_SECONDS)


def _await_start(settings: Settings, sink: str, poll: Callable[[], int | None]) -> None:
    """Wait until the courier holds its lock (or has come and gone), so that it is not started twice."""
    deadline = time.monotonic() + 10.0
    while poll() is None and not CourierLock(settings, sink).is_held() and time.monotonic() < deadline:
        time.sleep(0.01)


def _lacks(settings: Settings, delivery: Delivery, sink: str) -> bool:
    state = delivery[sink]
    return state.state not in ("done", "refused") and (state.pending > 0 or _has_ended(settings, delivery.run_id))


def _has_ended(settings: Settings, run_id: str) -> bool:
    try:
        with JournalReader(settings.run_directory(run_id) / FILE_NAME) as journal:
            start, end = journal.newest("start"), journal.newest("end")
    except TouchlineError:
        return False
    if start is None or (end is not None and end.seq > start.seq):
        return True
    return not ProcessIdentity.from_mapping(start.payload["process"]).is_alive()
