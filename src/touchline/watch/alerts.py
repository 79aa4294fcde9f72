"""Alerts: told once when something goes wrong, and once when it is well again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from touchline.errors import UsageError, at_least, between, is_number
from touchline.watch.forecast import Forecast, MemoryForecast
from touchline.watch.growth import ForecastConfig
from touchline.watch.latch import Latch, Patience, step
from touchline.watch.names import called
from touchline.watch.rules import Finding, Level, Limit, Lost, Rule, Throttling, Xid
from touchline.watch.snapshot import Snapshot
from touchline.watch.stall import Training, TrainingConfig
from touchline.watch.words import duration

_SOON_SECONDS = 300.0


@dataclass(frozen=True)
class Alert:
    """Something that people should know now."""

    rule: str
    """``memory``, ``temperature``, ``throttle_thermal``, ``throttle_hardware``, ``throttle_power``, ``gpu_lost``,
    ``xid``, ``oom_forecast``, ``stalled``, ``no_progress`` or ``nonfinite_loss``."""
    level: Level
    title: str
    text: str
    recovered: bool = False
    """Whether it tells of the end of one that came before; then the level is ``info``."""


@dataclass(frozen=True)
class AlertConfig:
    """What is told, and how patiently."""

    memory_percent: float = 95.0
    """Memory of a GPU or of JAX's pool above this is told, percent."""
    memory_hysteresis: float = 5.0
    """It has to fall by so much below the limit to be well again, percentage points."""
    temperature: float = 85.0
    """A GPU above this is told, °C."""
    temperature_hysteresis: float = 5.0
    """It has to cool down by so much below the limit to be well again, °C."""
    hold_seconds: float = 5.0
    """Memory and temperature have to be above their limits for so long."""
    throttle_share: float = 0.5
    """A GPU that slows itself down for more than this share of the time is told, 0 to 1."""
    throttle_seconds: float = 60.0
    """The time over which that share is taken."""
    lost_seconds: float = 3.0
    """A GPU that the driver calls lost for so long is told."""
    absent_seconds: float = 30.0
    """A GPU without any figure for so long is taken for lost."""
    clear_seconds: float = 120.0
    """What was told has to be well for so long before its end is told."""
    repeat_seconds: float = 3_600.0
    """The same is told at most once in so long."""
    forecast: ForecastConfig = field(default_factory=ForecastConfig)
    """When memory is foretold to be full."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """When training is said to have stalled."""

    def __post_init__(self) -> None:
        between(0.0, 100.0, self, "memory_percent", "memory_hysteresis")
        at_least(0.0, self, "temperature", "temperature_hysteresis")
        between(0.0, 1.0, self, "throttle_share")
        at_least(0.0, self, "hold_seconds", "lost_seconds", "absent_seconds", "clear_seconds", "repeat_seconds")
        if not is_number(self.throttle_seconds) or not self.throttle_seconds > 0.0:
            raise UsageError(f"AlertConfig.throttle_seconds is {self.throttle_seconds}. Give more than 0 seconds.")


class Alerts:
    """Looks at the snapshots of one watch; time is what they say it is."""

    def __init__(self, config: AlertConfig = AlertConfig()) -> None:
        self._patience = {"clear_seconds": config.clear_seconds, "repeat_seconds": config.repeat_seconds}
        training = Training(config.training)
        self.training = training.note
        """Notes where training is, as ``Training.note``; from any thread. ``observe`` tells what follows from it."""
        self._rules = _rules(config, training)
        self._latches: dict[tuple[str, str], Latch] = {}

    def observe(self, snapshot: Snapshot) -> list[Alert]:
        """Return what is to be told now; called from one thread, with snapshots in the order of time."""
        told = (self._judge(finding, snapshot.at) for rule in self._rules for finding in rule.find(snapshot))
        return [alert for alert in told if alert is not None]

    def _judge(self, finding: Finding, at: float) -> Alert | None:
        key = finding.rule, finding.about
        before = self._latches.get(key, _UNKNOWN)
        patience = Patience(finding.hold_seconds, **self._patience)
        after, change = step(before, at, finding.is_bad, patience, finding.since)
        self._latches[key] = after
        if change == "told":
            return Alert(finding.rule, finding.level, finding.title, finding.text)
        if change == "recovered" and finding.recovery:
            lasted = duration(after.lasted) if after.lasted >= 1.0 else "less than a second"
            return Alert(finding.rule, "info", finding.recovery, f"{finding.recovery}, after {lasted}.", True)
        return None


_UNKNOWN = Latch()


class _Filling:
    """Memory that will be full if it goes on filling: the first of NVML, JAX's pool and torch's allocator."""

    def __init__(self, config: ForecastConfig) -> None:
        self._forecast = MemoryForecast(config)

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield one finding for all memory."""
        found = self._forecast.observe(snapshot)
        if found is not None:
            yield _filling(found, snapshot.at)
        elif any(series.endswith("memory_percent") for series in snapshot.values):
            yield Finding("oom_forecast", "memory", False, "warn", "", "", "Memory no longer fills up")


def _filling(found: Forecast, at: float) -> Finding:
    left = found.full_at - at
    where = called(found.series.removesuffix("memory_percent"))
    return Finding(
        "oom_forecast",
        "memory",
        True,
        "error" if left < _SOON_SECONDS else "warn",
        f"{where}: out of memory in about {duration(left)}",
        f"{where} is {found.percent:.0f} % full and has filled by {60.0 * found.rate:.2g} points a minute for "
        f"{duration(found.seen_seconds)}: full in about {duration(left)} at this rate. Save a checkpoint; look for "
        "what keeps references to arrays, or make the batch or the buffer smaller.",
        "Memory no longer fills up",
        since=at - found.seen_seconds,
    )


def _rules(config: AlertConfig, training: Training) -> tuple[Rule, ...]:
    return (
        Limit(
            "memory",
            "memory_percent",
            "memory",
            "%",
            config.memory_percent,
            config.memory_hysteresis,
            config.hold_seconds,
            "The next large allocation may fail: make the batch or the buffer smaller.",
            owners=("jax/",),
        ),
        Limit(
            "temperature",
            "temperature",
            "temperature",
            "°C",
            config.temperature,
            config.temperature_hysteresis,
            config.hold_seconds,
            "It will slow itself down soon: look at its cooling.",
        ),
        Throttling(config.throttle_share, config.throttle_seconds),
        Lost(config.lost_seconds, config.absent_seconds),
        Xid(),
        _Filling(config.forecast),
        training,
    )
