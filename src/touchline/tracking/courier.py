"""The courier: a process beside the training that feeds one sink from the journals of a home.

Started by ``launch.ensure_courier`` with its order as JSON on standard input. It never writes to the trainer's
terminal, survives its death, and then tells the far side what became of it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from touchline.config import Settings
from touchline.filesystem import courier_mask
from touchline.redaction import RedactingFormatter, remember
from touchline.tracking.launch import CourierLock, destination, ensure_courier, settings_from_order
from touchline.tracking.patience import Bench, Outage
from touchline.tracking.route import Route, signature_of
from touchline.tracking.sinks import load_sink
from touchline.tracking.sinks.base import Sink, SinkUnavailable
from touchline.tracking.thinning import seconds_by_sink
from touchline.tracking.workers import STUCK_SECONDS, Workers

logger = logging.getLogger("touchline.courier")

POLL_SECONDS = 0.2
IDLE_SECONDS = 10.0
"""A courier outlives the last run by so much, because the next one may come soon and an SDK takes seconds to load."""
_DRAIN_SECONDS = 30.0
_STALLED_SECONDS = 3.0
"""W&B confirms what it was sent after about 2 s."""
_NICENESS = 19
_RESTS_A_TURN = 3.0
_LONGEST_PAUSE_SECONDS = 0.5
_FRESH_PROCESS_SECONDS = (1.0, 3.0)
"""Between the end of a spoilt process and its successor, so that a lasting failure does not start many."""


class Courier:
    """Serves every run of a home that is meant for one sink, in turns of one batch."""

    def __init__(
        self, settings: Settings, sink_name: str, *, drain: bool = False, runs: Sequence[str] | None = None
    ) -> None:
        """``drain``: serve ``runs`` (None: all) and end when nothing moves any more, living trainers or not."""
        self._settings = settings
        self._name = sink_name
        self._drain = drain
        self._wanted = None if runs is None else frozenset(runs)
        self._destination = destination(sink_name, settings)
        self._thin_seconds = seconds_by_sink(settings.thin_seconds).get(sink_name, 0.0)
        self._gather_seconds = seconds_by_sink(settings.gather_seconds).get(sink_name, 0.0)
        self._lock = CourierLock(settings, sink_name)
        self._sink: Sink | None = None
        self._routes: dict[str, Route] = {}
        self._elsewhere: dict[str, tuple[int, ...]] = {}
        self._bench = Bench()
        self._workers = Workers()
        self._outage: Outage | None = None
        self._tried_last = False
        self._next_look = 0.0
        self._alone_since: float | None = None

    def serve(self) -> bool:
        """Deliver until nothing is left to do for a few seconds, or the sink cannot be reached.

        Returns True when a fresh process should go on.
        """
        for _ in range(5):  # someone who asks whether the lock is held may hold it for a moment
            if self._lock.acquire():
                break
            time.sleep(0.05)
        else:
            return False
        self._workers.end_process_when_frozen()
        idle_since = time.monotonic()
        while not self._is_overdue():
            self._workers.alive()
            if hung := self._workers.give_up():
                self._mark_hung(hung)
                break
            began = time.monotonic()
            if self._turn():
                idle_since = time.monotonic()
                time.sleep(self._pause(idle_since - began))
            elif self._may_leave(time.monotonic() - idle_since):
                self._release_routes()
                # A run that starts now sees either a free lock (and starts its own courier) or a journal that
                # this last look finds, so none is left alone.
                self._lock.release()
                if not self._turn(look_only=True) or not self._lock.acquire():
                    break
                idle_since = time.monotonic()
            else:
                time.sleep(POLL_SECONDS)
        self._lock.release()
        return self._wants_a_fresh_process() and self._is_awaited()

    def _pause(self, worked: float) -> float:
        """Seconds to rest after so many seconds of work: what comes one by one is delivered together, for less.

        0 while something has piled up or somebody waits for the end of a run.
        """
        if self._drain or any(route.is_pressed() for route in self._routes.values()):
            return 0.0
        return min(_RESTS_A_TURN * worked, _LONGEST_PAUSE_SECONDS)

    def _mark_hung(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            cause = SinkUnavailable(f"{self._name} did not answer for {STUCK_SECONDS:.0f} s; it is asked again.")
            self._routes[run_id].mark_waiting(cause, tried=True)

    def _wants_a_fresh_process(self) -> bool:
        spoilt = self._bench.needs_fresh_process or bool(self._workers.give_up())
        return spoilt or (self._outage is not None and self._outage.cause.fresh_process)

    def _release_routes(self) -> None:
        if self._outage is None:
            for route in self._free_routes():
                self._workers.call(route.id, route.release)

    def _is_awaited(self) -> bool:
        return any(route.trainer_lives() for route in self._routes.values())

    def _free_routes(self) -> list[Route]:
        return [route for route in self._routes.values() if not self._workers.is_busy(route.id)]

    def _is_overdue(self) -> bool:
        """True when the last trainer is gone for so long that what is left waits for ``touchline sync``."""
        if self._drain or self._is_awaited():
            self._alone_since = None
            return False
        self._alone_since = self._alone_since or time.monotonic()
        return time.monotonic() - self._alone_since > self._settings.courier_seconds

    def _turn(self, look_only: bool = False) -> bool:
        """Give each run with something to do one batch; True when something moved (or, looking, could)."""
        self._look()
        if look_only:
            work = any(route.has_work() for route in self._free_routes() if not self._bench.awaits_a_person(route.id))
            return work and self._outage is None and not self._bench.needs_fresh_process
        moved = self._workers.collect(self._failed)
        routes = [route for route in self._free_routes() if route.has_work()]
        if self._outage is not None and not self._outage.is_due():
            for route in routes:
                route.mark_waiting(self._outage.cause, tried=False)
            return False
        routes = [route for route in routes if self._bench.may_play(route.id)]
        if not self._drain:
            routes = [route for route in routes if route.is_due(self._gather_seconds)]
        if not routes and (self._outage is None or not self._workers.is_anyone_busy()):
            self._look_after_the_slow()
            return moved
        try:
            if self._sink is None or self._outage is not None:
                self._sink = self._sink or load_sink(self._name, self._settings)
                self._check(self._sink)
                self._outage = None
        except SinkUnavailable as error:
            self._went_down(error, routes)
            return False
        self._look_after_the_slow()
        for route in routes:
            if self._outage is None:
                moved = self._workers.call(route.id, partial(self._advance, route, self._sink), self._failed) or moved
        return moved and self._outage is None

    def _look_after_the_slow(self) -> None:
        """While a call or a confirmation takes long, ask whether the far side lives: people may wait to hear of it.

        An SDK that uploads in the background, or tries again by itself, says for a long time that all is well.
        """
        if self._sink is None or self._outage is not None or time.monotonic() < self._next_look:
            return
        stalled = [route for route in self._free_routes() if route.is_stalled(_STALLED_SECONDS)]
        if not stalled and not self._workers.is_anyone_busy():
            return
        self._next_look = time.monotonic() + _STALLED_SECONDS
        try:
            self._check(self._sink)
        except SinkUnavailable as error:
            self._went_down(error, stalled)

    def _advance(self, route: Route, sink: Sink) -> bool:
        moved = route.advance(sink)
        self._bench.welcome_back(route.id)
        return moved

    def _failed(self, run_id: str, error: Exception) -> None:
        """One run could not go on: is it the far side, which concerns all, or this run alone?"""
        assert self._sink is not None
        if not isinstance(error, SinkUnavailable):
            logger.error("the %s sink failed for %s", self._name, run_id, exc_info=error)
            error = SinkUnavailable(f"{type(error).__name__}: {str(error)[:300]}.")
        route = self._routes[run_id]
        try:
            self._check(self._sink)
        except SinkUnavailable as outage:
            self._went_down(outage, [route])
            return
        logger.warning("%s: %s", run_id, error)
        self._bench.send_off(run_id, error)
        route.mark_waiting(error, tried=True)

    def _check(self, sink: Sink) -> None:
        """Ask for a sign of life; a sink that fails in its own way is told too."""
        try:
            sink.check()
        except SinkUnavailable:
            raise
        except Exception as error:
            logger.exception("the %s sink cannot be asked", self._name)
            raise SinkUnavailable(f"{type(error).__name__}: {str(error)[:300]}.") from error

    def _went_down(self, error: SinkUnavailable, routes: Sequence[Route]) -> None:
        logger.warning("%s", error)
        self._outage = Outage(error, self._outage)
        for route in routes:
            route.mark_waiting(error, tried=True)
        for run_id in self._workers.busy_ones():
            self._routes[run_id].tell_waiting(error)

    def _may_leave(self, idle_seconds: float) -> bool:
        busy = self._workers.is_anyone_busy()
        if self._bench.needs_fresh_process:
            return not busy
        if self._outage is not None:
            cause = self._outage.cause
            if cause.permanent or cause.fresh_process or self._drain:
                return not busy
            if self._is_awaited():
                self._tried_last = False
                return False
            # Nobody logs any more: one attempt at once, however long the next was put off, then rest.
            leave, self._tried_last = self._tried_last, True
            if not leave:
                self._outage.retry_now()
            return leave and not busy
        if busy:
            return False
        if self._awaits_a_person():
            return True
        if self._drain:
            waiting = [route for route in self._free_routes() if route.has_work()]
            return idle_seconds >= _DRAIN_SECONDS or all(self._bench.has(route.id) for route in waiting)
        return idle_seconds >= IDLE_SECONDS and not self._is_awaited()

    def _awaits_a_person(self) -> bool:
        """True when no run can go on by itself: whoever mends it sends the rest, with other settings than ours."""
        others = [route for route in self._routes.values() if not self._bench.awaits_a_person(route.id)]
        return len(others) < len(self._routes) and not any(
            route.has_work() or route.trainer_lives() for route in others
        )

    def _look(self) -> None:
        """Find the runs to serve; new ones join, those of other destinations stay out."""
        runs = self._settings.runs
        for name in sorted(path.name for path in runs.iterdir()) if runs.is_dir() else ():
            if name in self._routes or (self._wanted is not None and name not in self._wanted):
                continue
            signature = signature_of(runs / name)
            if self._elsewhere.get(name, ()) == signature:
                continue
            route = Route.find(runs / name, self._name, self._destination, self._drain, self._thin_seconds)
            if route is None:
                self._elsewhere[name] = signature
            else:
                self._routes[name] = route


def _step_back() -> None:
    """Leave the processor to the training."""
    os.nice(_NICENESS)
    # Linux may weigh sessions first, and niceness only within one.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


def main() -> None:
    """Read the order from standard input and serve it."""
    order = json.load(sys.stdin)
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(f"%(asctime)s {os.getpid()} %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    _step_back()
    settings = settings_from_order(order["settings"])
    os.umask(courier_mask(settings.home))
    remember(settings.mlflow_tracking_uri, settings.mlflow_registry_uri, settings.wandb_base_url)
    courier = Courier(settings, order["sink"], drain=order["drain"], runs=order["runs"])
    try:
        if courier.serve():
            time.sleep(random.uniform(*_FRESH_PROCESS_SECONDS))
            ensure_courier(settings, order["sink"], runs=order["runs"])
    except Exception:
        logger.exception("the courier of %s ended", order["sink"])
    # What an SDK would still wait for at exit is in the journal, and a courier must not outlive its work.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
