"""The watch: a thread samples, the training thread takes the means."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from touchline.errors import UsageError
from touchline.watch.nvml import METRICS, Device, Driver, NvmlUnavailable
from touchline.watch.snapshot import Snapshot

_STALE_SAMPLES = 3
_JOIN_SECONDS = 2.0


@dataclass
class _Window:
    """Sums since they were last taken."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: total / self.counts[name] for name, total in self.sums.items()}


class GpuWatch:
    """Samples GPUs and host every ``interval`` seconds; a context manager, or ``start`` and ``stop``.

    With one GPU the names are ``gpu/utilization_percent`` and so on; with several each has ``gpu/0/…`` and the plain
    name is their mean (utilisation), maximum (memory percent, temperature) or sum (memory in GB, power).
    """

    def __init__(self, interval: float = 1.0) -> None:
        """``interval``: seconds between samples."""
        if not interval > 0.0:
            raise UsageError(f"A watch's interval is above 0 seconds, and this is {interval}. 1.0 is usual.")
        self._interval = interval
        self._changed = threading.Condition()
        self._window = _Window()
        self._latest: Snapshot | None = None
        self._begun = self._done = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._driver: Driver | None = None

    def start(self) -> GpuWatch:
        """Begin to sample; a watch that runs already goes on."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._work, name="touchline-watch", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; one that hangs in the driver is left behind after 2 s."""
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

    def metrics(self) -> dict[str, float]:
        """Return the mean of each metric since the last call; at once, whatever the driver does.

        When no sample was taken in between, the newest one, unless it is too old to be true.
        """
        with self._changed:
            window, self._window = self._window, _Window()
            latest = self._latest
        if window.sums:
            return window.means()
        return dict(latest.values) if latest is not None and self._is_fresh(latest) else {}

    @property
    def absent(self) -> dict[str, str]:
        """The metrics that cannot be had now, each with the reason."""
        with self._changed:
            latest = self._latest
        if latest is None:
            return {f"gpu/{metric.name}": "no sample was taken yet" for metric in METRICS}
        if self._thread is not None and not self._is_fresh(latest):
            silent = f"the NVIDIA driver has held up the watch for {time.monotonic() - latest.at:.0f} s"
            return {**latest.absent, **dict.fromkeys(latest.values, silent)}
        return dict(latest.absent)

    def wait_sample(self, timeout: float) -> bool:
        """Wait until a sample that begins after this call is complete; whether it was within ``timeout`` seconds."""
        with self._changed:
            target = self._begun + 1
            return self._changed.wait_for(lambda: self._done >= target, timeout)

    def _is_fresh(self, sample: Snapshot) -> bool:
        return time.monotonic() - sample.at <= _STALE_SAMPLES * self._interval

    def _work(self) -> None:
        import psutil

        psutil.cpu_percent()  # The first call has nothing to compare with and returns 0.
        stop = self._stop
        due = time.monotonic()
        while not stop.is_set():
            with self._changed:
                self._begun += 1
                begun = self._begun
            values, absent = self._gpus()
            values["host/memory_percent"] = psutil.virtual_memory().percent
            if begun > 1:
                values["host/cpu_percent"] = psutil.cpu_percent()
            with self._changed:
                self._window.add(values)
                self._latest = Snapshot(time.monotonic(), values, absent)
                self._done = begun
                self._changed.notify_all()
            due = max(due + self._interval, time.monotonic())
            stop.wait(due - time.monotonic())
        self._close()

    def _gpus(self) -> tuple[dict[str, float], dict[str, str]]:
        try:
            self._driver = self._driver or Driver()
        except NvmlUnavailable as error:
            return {}, {f"gpu/{metric.name}": str(error) for metric in METRICS}
        values, absent = _sample(self._driver, self._driver.devices)
        if not values:
            # Containers lose the driver for good when its devices are set up anew, and a new start finds it again.
            self._close()
        return values, absent

    def _close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()


def _sample(driver: Driver, devices: tuple[Device, ...]) -> tuple[dict[str, float], dict[str, str]]:
    values: dict[str, float] = {}
    absent: dict[str, str] = {}
    for metric in METRICS:
        found: list[float] = []
        reasons: list[str] = []
        for device in devices:
            name = f"gpu/{device.index}/{metric.name}"
            try:
                value = driver.read(metric, device)
            except NvmlUnavailable as error:
                reasons.append(f"GPU {device.index}: {error}" if len(devices) > 1 else str(error))
                if len(devices) > 1:
                    absent[name] = str(error)
                continue
            found.append(value)
            if len(devices) > 1:
                values[name] = value
        if len(found) == len(devices):
            values[f"gpu/{metric.name}"] = metric.together(found)
        else:
            absent[f"gpu/{metric.name}"] = reasons[0]
    return values, absent
