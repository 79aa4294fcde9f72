"""The watch of one training loop: its curves, its alerts, why the GPU is idle, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Protocol

from touchline.cadence import MINIMUM_SECONDS, Cadence
from touchline.errors import UsageError, at_least
from touchline.watch.alerts import AlertConfig, Alerts
from touchline.watch.cost import CostMeter, State
from touchline.watch.diagnosis import LOW_PERCENT, Diagnosis
from touchline.watch.gpu import GpuWatch
from touchline.watch.idleness import Idleness
from touchline.watch.pools import Found, jax_pool, torch_allocator
from touchline.watch.prices import Prices
from touchline.watch.rules import Level
from touchline.watch.sections import Sections
from touchline.watch.snapshot import Snapshot


class Recorder(Protocol):
    """What takes metrics and alerts: a Touchline run, or anything else with these two methods."""

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers at a step; called in the training thread."""
        ...

    def alert(self, title: str, text: str = "", level: Level = "warn") -> None:
        """Tell people; called in the watch's thread."""
        ...


@dataclass(frozen=True)
class WatchConfig:
    """What a watch looks at, and when it says so."""

    every: int = 1_000
    """Steps between utilisation and memory, in the loop's own unit of steps."""
    detail_every: int = 5_000
    """Steps between all the rest: temperature, power, clocks, throttling, cost."""
    minimum_seconds: float = MINIMUM_SECONDS
    """Nothing is logged more often than this."""
    interval: float = 1.0
    """Seconds between samples."""
    alerts: AlertConfig = field(default_factory=AlertConfig)
    diagnosis_seconds: float = 60.0
    """Time over which utilisation has to be low to be diagnosed."""
    prices: tuple[str, ...] = ()
    """Prices in USD per hour that replace the list prices, such as ``L4=0.71/0.28`` (on demand/spot)."""
    spot: bool = False
    """Whether the devices are paid at spot prices."""
    budget_usd: float = 0.0
    """What the run may cost, warned of at 80 % of it; 0: whatever it takes."""

    def __post_init__(self) -> None:
        at_least(1, self, "every", "detail_every")
        at_least(0.0, self, "minimum_seconds", "budget_usd")
        at_least(0.001, self, "interval")
        at_least(1.0, self, "diagnosis_seconds")
        Prices.parse(self.prices)


class TrainingWatch:
    """Watches one training, from ``with`` to its end::

        with TrainingWatch(run) as watch:
            for step in ...:
                with watch.section("environment"):
                    ...
                with watch.section("update"):
                    loss = ...
                watch.step(step, {"loss": loss})
                if watch.budget == "spent":
                    break

    ``step`` never waits for a driver, a device or a network. Alerts come from the watch's own thread, also while the
    loop hangs.
    """

    def __init__(
        self,
        run: Recorder,
        config: WatchConfig = WatchConfig(),
        *,
        start: int = 0,
        batch_size: int | None = None,
        cost_before: Mapping[str, float] | None = None,
        disk: Path | None = None,
    ) -> None:
        """Nothing is watched before ``with`` or ``open``.

        Args:
            run: takes metrics and alerts.
            config: what is looked at, and when.
            start: step from which a resumed training goes on.
            batch_size: samples of one update, which helps to say why a GPU is idle.
            cost_before: the newest ``cost/…`` values that an earlier part of the run logged, where there is no
                ``state_dict`` of it.
            disk: a path on the disk of ``host/disk_percent``; ``run.directory`` when None, or the working directory
                where the run has none.

        Raises:
            UsageError: the run has no ``log`` and ``alert``, or the configuration is none.
        """
        missing = [name for name in ("log", "alert") if not callable(getattr(run, name, None))]
        if missing:
            raise UsageError(
                f"A watch tells a run, and {run!r} has no {' and no '.join(missing)}. Give touchline.start_run(...), "
                "or anything with log(metrics, step) and alert(title, text, level)."
            )
        if not isinstance(config, WatchConfig):
            raise UsageError(
                f"A watch's configuration is a WatchConfig, and this is {config!r}. Leave it out, or "
                "give WatchConfig(every=1_000)."
            )
        self.config = config
        self.diagnosis: Diagnosis | None = None
        """Why utilisation was low in the newest window; None where it was not, or cannot be had."""
        self._run = run
        self._sections = Sections()
        self._alerts = Alerts(config.alerts)
        self._idleness = Idleness(self._sections, config.diagnosis_seconds, batch_size)
        self._gpu = GpuWatch(
            config.interval,
            sources=(self._jax, torch_allocator),
            observers=(self._observe,),
            disk=disk or getattr(run, "directory", None),
        )
        self._due = Cadence(config.every, config.minimum_seconds, start=start)
        self._detail_due = Cadence(config.detail_every, config.minimum_seconds, start=start)
        self._priced: tuple[str, ...] = ()
        self._cost_before = dict(cost_before or {})
        self._meter = self._meter_of(())
        self._is_open = False
        self._step: int | None = None

    def __enter__(self) -> TrainingWatch:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> TrainingWatch:
        """Begin to sample."""
        self._is_open = True
        self._gpu.start()
        return self

    def close(self) -> None:
        """End the sampling; a thread that hangs in the driver is left behind after 2 s."""
        self._gpu.stop()
        self._is_open = False

    def section(self, name: str) -> AbstractContextManager[None]:
        """Time a part of the loop, one of ``environment``, ``transfer``, ``update``, ``evaluation``, ``checkpoint``,
        ``logging`` and ``compile``; about a microsecond. Raises UsageError on another name."""
        return self._sections(name)

    def step(self, step: int, metrics: Mapping[str, Any] | None = None) -> None:
        """Say that training is at ``step``; logs the GPU's series when they are due.

        ``metrics``: looked at for losses that are not finite and for progress, and not logged here. Values on a
        device are read later, in the watch's thread.

        Raises:
            UsageError: the step is no number, or the metrics are no mapping.
        """
        self.note(step, metrics)
        is_due, is_detail_due = self._due.due(step), self._detail_due.due(step)
        if is_due or is_detail_due:
            self._run.log(self.metrics(detail=is_detail_due), step)

    def note(self, step: int, metrics: Mapping[str, Any] | None = None) -> None:
        """As ``step``, for a loop that logs ``metrics()`` itself.

        Raises:
            UsageError: the step is no number, or the metrics are no mapping.
        """
        try:
            self._step = +step  # What is no number fails here, at no cost.
        except TypeError as error:
            raise UsageError(f"A step is a whole number, and this is {step!r}. Give how many were made.") from error
        self._alerts.training(step, metrics or {}, monotonic())

    def metrics(self, detail: bool = False) -> dict[str, float]:
        """Return the means since the last call, as ``GpuWatch.metrics`` does, and with ``detail`` the cost so far."""
        found = self._gpu.metrics(detail)
        if detail:
            found |= self._meter.metrics()
        return found

    @property
    def absent(self) -> dict[str, str]:
        """The series that cannot be had now, each with the reason."""
        return {**self._gpu.absent, **self._meter.absent}

    @property
    def budget(self) -> State:
        """Where the cost is: "ok", "warned" from 80 % of the budget on, "spent" from 100 % on."""
        return self._meter.state()

    @property
    def cost(self) -> dict[str, float]:
        """What the run has cost so far, as far as is known: ``cost/usd``, ``cost/usd_wasted``, ``cost/energy_wh``."""
        return self._meter.metrics()

    def state_dict(self) -> dict[str, float]:
        """Return what a checkpoint should keep: what the run has cost so far, and which warnings of its budget were
        told. A plain dict of numbers."""
        return {**self._cost_before, **self._meter.state_dict()}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from the ``state_dict`` of an earlier part of the run, in place of ``cost_before``; before ``open``.

        A training that goes back to a checkpoint while it is watched loads nothing: what was undone was paid for.

        Raises:
            UsageError: the watch is open, and would count what it has seen itself twice or not at all.
        """
        if self._is_open:
            raise UsageError("The watch is open already. Load its state before `with`, or before `open()`.")
        self._cost_before, self._priced = dict(state), ()
        self._meter = self._meter_of(())

    @staticmethod
    def _jax(_: Mapping[str, float]) -> Found:
        return jax_pool()

    def _observe(self, sample: Snapshot) -> None:
        """Judge one sample; in the watch's thread."""
        if self._gpu.device_names != self._priced:
            self._priced = self._gpu.device_names
            self._cost_before = self.state_dict()
            self._meter = self._meter_of(self._priced)
        crossing = self._meter.observe(sample)
        if crossing is not None:
            level: Level = "error" if self._meter.state() == "spent" else "warn"
            self._run.alert(f"Budget of {self.config.budget_usd:.2f} USD", crossing, level)
        for alert in self._alerts.observe(sample):
            self._run.alert(alert.title, alert.text, alert.level)
        self._explain(sample)

    def _explain(self, sample: Snapshot) -> None:
        judged = self._idleness.observe(sample, self._step)
        if judged is not None:
            self.diagnosis = judged.diagnosis
            if judged.is_news and judged.diagnosis is not None:
                title = f"GPU utilisation below {LOW_PERCENT:.0f} %: {judged.diagnosis.cause.replace('_', ' ')}"
                self._run.alert(title, str(judged.diagnosis), "info")

    def _meter_of(self, devices: tuple[str, ...]) -> CostMeter:
        config = self.config
        # A budget is judged once the devices are known: what they are called comes with the first sample.
        budget = config.budget_usd if config.budget_usd and devices else None
        return CostMeter(Prices.parse(config.prices), config.spot, budget, devices, self._cost_before)
