"""The watch: threads sample, the training thread takes what they found."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from touchline.errors import UsageError, is_number
from touchline.watch.guarded import Found, GuardedObserver, GuardedSource, Observer, Source
from touchline.watch.host import Host
from touchline.watch.nvml_patient import PatientGpus
from touchline.watch.nvml_series import NAMES
from touchline.watch.snapshot import Snapshot
from touchline.watch.window import Handover

_STALE_SECONDS = 1.0
_STALE_SAMPLES = 3
_JOIN_SECONDS = 2.0


class GpuWatch:
    """Samples GPUs and host every ``interval`` seconds; a context manager, or ``start`` and ``stop``.

    A thread takes the samples, and another one asks the driver on its behalf: while the driver hangs, everything else
    is sampled on, and the GPUs' series are absent with that reason. With one GPU the names are
    ``gpu/utilization_percent`` and so on; with several each has ``gpu/0/…``, and the plain name is all of theirs
    together: mean (utilisation, clocks, SM activity), maximum (memory percent, temperature, throttling) or sum
    (memory in GB, power, energy).
    """

    def __init__(
        self,
        interval: float = 1.0,
        *,
        sources: Sequence[Source] = (),
        observers: Sequence[Observer] = (),
        disk: Path | None = None,
    ) -> None:
        """Nothing is sampled before ``start``.

        Args:
            interval: seconds between samples.
            sources: asked for more series at each sample, in the watch's thread; must not wait. Each is called with
                the values that the sample has so far (``gpu/…``, ``host/…``, the sources before it), and returns
                values and, for what cannot be had, reasons.
            observers: told each sample, in the watch's thread.
            disk: a path on the disk of ``host/disk_percent``; the working directory when None.

        Raises:
            UsageError: when ``interval`` is not above 0.
        """
        if not is_number(interval) or not interval > 0.0:
            raise UsageError(f"A watch's interval is above 0 seconds, and this is {interval!r}. 1.0 is usual.")
        self._interval = interval
        self._fresh_seconds = _STALE_SAMPLES * interval + _STALE_SECONDS
        self._sources = tuple(GuardedSource(source) for source in sources)
        self._observers = tuple(GuardedObserver(observer) for observer in observers)
        self._disk = disk or Path.cwd()
        self._handover = Handover()
        self._latest: Snapshot | None = None
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._device_names: tuple[str, ...] = ()

    def start(self) -> GpuWatch:
        """Begin to sample; a watch that runs already goes on."""
        if self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._work, args=(self._stop,), name="touchline-watch", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """End the threads; one that hangs in the driver is left behind after 2 s."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join(_JOIN_SECONDS)

    def __enter__(self) -> GpuWatch:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def metrics(self, detail: bool = False) -> dict[str, float]:
        """Return the mean of each series since the last call; at once, whatever the driver does.

        Of what peaks (utilisation and memory percent; in detail temperature and power) also ``<name>/min`` and
        ``<name>/max``; of what counts up (energy, cost, XID) the newest value. Without ``detail``: utilisation and
        memory of the GPUs, the host, and all series of the sources. With it, everything; the series that come only
        then are summed up since the last call with ``detail``. When no sample was taken in between, the newest one,
        unless it is too old to be true.
        """
        return self._handover.take(detail, time.monotonic())

    @property
    def latest(self) -> Snapshot | None:
        """The newest sample; None before the first one."""
        return self._latest

    @property
    def absent(self) -> dict[str, str]:
        """The series that cannot be had now, each with the reason."""
        latest = self.latest
        if latest is None:
            return {f"gpu/{name}": "no sample was taken yet" for name in NAMES}
        if self._thread is not None and not self._is_fresh(latest):
            silent = f"the watch has been held up for {time.monotonic() - latest.at:.0f} s by a source or an observer"
            return {**latest.absent, **dict.fromkeys(latest.values, silent)}
        return dict(latest.absent)

    @property
    def device_names(self) -> tuple[str, ...]:
        """What the visible devices are called, such as ``NVIDIA L4``; empty until they were seen."""
        return self._device_names

    def wait_sample(self, timeout: float) -> bool:
        """Wait until a sample that begins after this call is complete; whether it was within ``timeout`` seconds."""
        with self._changed:
            target = self._begun + 1
            return self._changed.wait_for(lambda: self._done >= target, timeout)

    def _is_fresh(self, sample: Snapshot) -> bool:
        return time.monotonic() <= sample.at + self._fresh_seconds

    def _work(self, stop: threading.Event) -> None:
        gpus = PatientGpus()
        driver = GuardedSource(gpus.look, names=(f"gpu/{name}" for name in NAMES))
        host = GuardedSource(Host(self._disk).look)
        due = time.monotonic()
        while not stop.is_set():
            with self._changed:
                self._begun += 1
                begun = self._begun
            values: dict[str, float] = {}
            absent: dict[str, str] = {}
            _add(driver(), values, absent)
            _add(host(), values, absent)
            for source in self._sources:
                _add(source(MappingProxyType(values)), values, absent)
            self._device_names = gpus.device_names
            self._take(Snapshot(time.monotonic(), MappingProxyType(values), MappingProxyType(absent)), begun)
            due = max(due + self._interval, time.monotonic())
            stop.wait(due - time.monotonic())
        gpus.close(_JOIN_SECONDS / 2)

    def _take(self, sample: Snapshot, begun: int) -> None:
        self._handover.add(sample.values, until=sample.at + self._fresh_seconds)
        self._latest = sample
        for observer in self._observers:
            observer(sample)
        with self._changed:
            self._done = begun
            self._changed.notify_all()


def _add(found: Found, values: dict[str, float], absent: dict[str, str]) -> None:
    values |= found[0]
    absent |= found[1]
