"""The courier: a process beside the training that feeds one sink from the journals of a home.

Started by ``launch.ensure_courier`` with its order as JSON on standard input. It never writes to the trainer's
terminal, survives its death, and then tells the far side what became of it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from collections.abc import Sequence

from touchline.config import Settings
from touchline.tracking.launch import CourierLock, destination, ensure_courier, settings_from_order
from touchline.tracking.route import Route, signature_of
from touchline.tracking.sinks import load_sink
from touchline.tracking.sinks.base import Sink, SinkUnavailable
from touchline.tracking.thinning import thin_seconds

logger = logging.getLogger("touchline.courier")

POLL_SECONDS = 0.2
IDLE_SECONDS = 3.0
_DRAIN_SECONDS = 30.0
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 30.0


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
        self._thin_seconds = thin_seconds(settings.thin_seconds).get(sink_name, 0.0)
        self._lock = CourierLock(settings, sink_name)
        self._sink: Sink | None = None
        self._routes: dict[str, Route] = {}
        self._elsewhere: dict[str, tuple[int, ...]] = {}
        self._down: SinkUnavailable | None = None
        self._tried_last = False
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS

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
        idle_since = time.monotonic()
        while True:
            if self._turn():
                idle_since = time.monotonic()
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
        again = self._down is not None and self._down.fresh_process and self._is_awaited()
        self._lock.release()
        return again

    def _release_routes(self) -> None:
        if self._down is None:
            for route in self._routes.values():
                route.release()

    def _is_awaited(self) -> bool:
        return any(route.trainer_lives() for route in self._routes.values())

    def _turn(self, look_only: bool = False) -> bool:
        """Give each run with something to do one batch; True when something moved (or, looking, could)."""
        routes = [route for route in self._look() if route.has_work()]
        if look_only:
            return bool(routes) and self._down is None
        if self._down is not None and time.monotonic() < self._retry_at:
            for route in routes:
                route.mark_waiting(self._down, tried=False)
            return False
        if not routes:
            return False
        try:
            if self._sink is None or self._down is not None:
                self._sink = self._sink or load_sink(self._name, self._settings)
                self._sink.check()
                self._down, self._retry_seconds = None, _FIRST_RETRY_SECONDS
            moved = [route.advance(self._sink) for route in routes]
        except SinkUnavailable as error:
            self._went_down(error, routes)
            return False
        except Exception as error:  # a sink's own surprise: told, tried again, and never the end of the others
            logger.exception("the %s sink failed", self._name)
            self._went_down(SinkUnavailable(f"{type(error).__name__}: {str(error)[:300]}."), routes)
            return False
        return any(moved)

    def _went_down(self, error: SinkUnavailable, routes: Sequence[Route]) -> None:
        logger.warning("%s", error)
        self._down = error
        self._retry_at = time.monotonic() + self._retry_seconds * random.uniform(0.75, 1.25)
        self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)
        for route in routes:
            route.mark_waiting(error, tried=True)

    def _may_leave(self, idle_seconds: float) -> bool:
        routes = list(self._routes.values())
        if self._down is not None:
            if self._down.permanent or self._down.fresh_process or self._drain:
                return True
            if self._is_awaited():
                self._tried_last = False
                return False
            # Nobody logs any more: one attempt at once, however long the next was put off, then rest.
            leave, self._tried_last = self._tried_last, True
            self._retry_at = 0.0
            return leave
        if self._drain:
            return idle_seconds >= _DRAIN_SECONDS or not any(route.has_work() for route in routes)
        return idle_seconds >= IDLE_SECONDS and not self._is_awaited()

    def _look(self) -> list[Route]:
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
        return list(self._routes.values())


def main() -> None:
    """Read the order from standard input and serve it."""
    order = json.load(sys.stdin)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(name)s: %(message)s")
    os.nice(5)
    settings = settings_from_order(order["settings"])
    courier = Courier(settings, order["sink"], drain=order["drain"], runs=order["runs"])
    try:
        if courier.serve():
            ensure_courier(settings, order["sink"], runs=order["runs"])
    except Exception:
        logger.exception("the courier of %s ended", order["sink"])
    # What an SDK would still wait for at exit is in the journal, and a courier must not outlive its work.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
