"""Notices of preemption: the metadata service of the machine's cloud, asked in a thread while a training runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from touchline.checkpoint.clouds import CLOUDS, Cloud, Notice, detect
from touchline.checkpoint.metadata_server import NoAnswer
from touchline.errors import UsageError, unknown

logger = logging.getLogger("touchline")

Source = Literal["auto", "off", "gcp", "aws", "azure"]
"""Whom to ask: the cloud that the machine's firmware names, nobody, or this one."""

DMI = Path("/sys/class/dmi/id")
SLOWEST_SECONDS = 60.0
"""Longest pause before a service that does not answer is asked again."""


class PreemptionNotices:
    """Asks one metadata service until it announces that the machine goes away.

    ``StopSignal(notices="auto")`` does all of it; make one yourself to give an address or a pace. On a machine that
    is no cloud's, ``auto`` starts no thread and sends nothing.
    """

    def __init__(
        self,
        source: Source = "auto",
        *,
        seconds: float | None = None,
        endpoint: str | None = None,
        dmi: Path = DMI,
    ) -> None:
        """Choose the service, without asking it.

        Args:
            source: whom to ask.
            seconds: pause between two questions; None is what the cloud's documentation recommends.
            endpoint: address of the service as ``http://host:port``; None is GCE_METADATA_HOST or
                AWS_EC2_METADATA_SERVICE_ENDPOINT, where set, or the cloud's own.
            dmi: directory of the firmware's strings, by which ``auto`` recognises the cloud.

        Raises:
            UsageError: on another source, a pause that is none, or an address that is none.
        """
        if source not in get_args(Source):
            raise unknown("source of preemption notices", source, get_args(Source))
        if seconds is not None and not 0 < seconds <= threading.TIMEOUT_MAX:
            raise UsageError(f"PreemptionNotices got seconds={seconds!r}. Give a finite pause above 0, or None.")
        cloud = detect(dmi) if source == "auto" else CLOUDS.get(source)
        self._cloud = cloud(endpoint) if cloud else None
        self._seconds = seconds
        self._stopped = threading.Event()

    @property
    def cloud(self) -> str | None:
        """Name of the cloud that is asked: GCP, AWS, Azure, or None when nobody is."""
        return self._cloud.name if self._cloud else None

    def start(self, announce: Callable[[str], None]) -> None:
        """Begin to ask, in a daemon thread; returns at once.

        ``announce`` is called in that thread, at most once, with a sentence that says who announced what and how
        long is left; then the asking ends.
        """
        self.stop()
        if self._cloud is None:
            return
        self._stopped = threading.Event()
        asking = _Asking(self._cloud, self._seconds or self._cloud.seconds, announce, self._stopped)
        threading.Thread(target=asking.run, name="preemption-notices", daemon=True).start()

    def stop(self) -> None:
        """Stop asking; returns at once, and what a question under way brings is left unsaid."""
        self._stopped.set()


class _Asking:
    """What the thread does."""

    def __init__(
        self, cloud: Cloud, seconds: float, announce: Callable[[str], None], stopped: threading.Event
    ) -> None:
        self._cloud = cloud
        self._seconds = seconds
        self._announce = announce
        self._stopped = stopped
        self._told: set[str] = set()

    def run(self) -> None:
        pause = self._seconds
        while not self._stopped.is_set():
            try:
                if self._ask():
                    return
                pause = self._seconds
            except Exception as error:  # the training must not notice whatever a network can answer
                self._complain(error)
                pause = max(min(2 * pause, SLOWEST_SECONDS), self._seconds)
            self._stopped.wait(pause)

    def _ask(self) -> bool:
        """Tell what is announced; returns whether the machine goes away."""
        for notice in self._cloud.ask():
            if self._stopped.is_set():
                return True
            if notice.takes_machine:
                logger.warning("%s The training stops at its next boundary.", notice.sentence)
                self._announce(notice.sentence)
                return True
            self._inform(notice)
        return False

    def _inform(self, notice: Notice) -> None:
        if notice.sentence not in self._told:
            self._told.add(notice.sentence)
            logger.info("%s The training goes on.", notice.sentence)

    def _complain(self, error: Exception) -> None:
        if "no answer" in self._told or self._stopped.is_set():
            return
        self._told.add("no answer")
        what = str(error) if isinstance(error, NoAnswer) else f"{type(error).__name__}: {error}"
        logger.info(
            "The %s metadata service at %s does not answer as it should (%s). It is asked again, less often, and "
            "SIGTERM stops the training as ever. Turn notices off with TOUCHLINE_PREEMPTION=off or notices='off'.",
            *(self._cloud.name, self._cloud.server.url, what),
        )
