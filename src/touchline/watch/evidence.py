"""What is known of one window of training when somebody asks why the GPU has so little to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from touchline.watch.sections import SECTIONS

_NOTHING: Mapping[str, float] = MappingProxyType({})
_OF_THE_GPU = (
    *("utilization_percent", "sm_percent", "power_watts", "power_limit_watts", "temperature"),
    *("clock_sm_mhz", "clock_sm_max_mhz", "throttle_thermal", "throttle_power", "throttle_hardware"),
)
_OF_THE_HOST = ("cpu_percent", "memory_percent")
_AT_THE_LIMIT = 0.95
_REST_WATTS = 20.0
_REST_SHARE = 0.14


@dataclass(frozen=True)
class Evidence:
    """One window; series are its means, and None is what could not be had."""

    utilization_percent: float | None = None
    """Share of time with a kernel running, in %."""
    sections: Mapping[str, float] = field(default_factory=dict)
    """Section of the loop → share of wall time, 0 to 1; those that are not timed are missing."""
    sm_percent: float | None = None
    """Share of the device's processors (SM) that worked, in %; only where the device has GPM."""
    power_watts: float | None = None
    power_limit_watts: float | None = None
    lowest_power_watts: float | None = None
    """The lowest reading: the card draws no more than this at rest."""
    gpus: int = 1
    """How many cards the power and its limit are the sums of."""
    temperature: float | None = None
    """°C."""
    clock_sm_mhz: float | None = None
    clock_sm_max_mhz: float | None = None
    throttle_thermal: float | None = None
    """Share of time in which heat lowers the clock, 0 to 1; of several cards of any, for all wait for one."""
    throttle_power: float | None = None
    """Share of time in which a power limit or the power brake lowers it, 0 to 1."""
    throttle_hardware: float | None = None
    """Share of time in which the hardware lowers it, for either reason, 0 to 1."""
    host_cpu_percent: float | None = None
    """Of all cores."""
    host_memory_percent: float | None = None
    steps_per_second: float | None = None
    """0 where steps are counted and none came."""
    compilations: int | None = None
    """Programs compiled in the window."""
    batch_size: int | None = None
    """Samples of one update."""
    window_seconds: float = 60.0

    @classmethod
    def of(
        cls,
        values: Mapping[str, float],
        sections: Mapping[str, float] = _NOTHING,
        *,
        lowest: Mapping[str, float] = _NOTHING,
        steps_per_second: float | None = None,
        compilations: int | None = None,
        batch_size: int | None = None,
        window_seconds: float = 60.0,
    ) -> Evidence:
        """Pick what a diagnosis needs from the series of a watch.

        Args:
            values: name → mean over the window, named as the watch does (``gpu/utilization_percent``).
            sections: section → share of wall time, as ``Sections.shares`` returns them; other names are ignored.
            lowest: name → lowest reading of the window, where it is kept.
            steps_per_second: as the loop counts its steps; 0 where it counts and none came.
            compilations: programs compiled in the window, as ``Sections.compilations`` returns them.
            batch_size: samples of one update.
            window_seconds: length of the window, seconds.
        """
        gpu = {name: _finite(values, f"gpu/{name}") for name in _OF_THE_GPU}
        host = {f"host_{name}": _finite(values, f"host/{name}") for name in _OF_THE_HOST}
        return cls(
            **gpu,
            **host,
            sections={name: share for name, share in sections.items() if name in SECTIONS},
            lowest_power_watts=_finite(lowest, "gpu/power_watts"),
            gpus=max(1, len({name.split("/")[1] for name in values if name.count("/") == 2})),
            steps_per_second=steps_per_second,
            compilations=compilations,
            batch_size=batch_size,
            window_seconds=window_seconds,
        )

    @property
    def busy(self) -> float:
        """Share of time with a kernel running, 0 to 1; 0 where it is not known."""
        return (self.utilization_percent or 0.0) / 100.0

    @property
    def untimed(self) -> float:
        """Share of wall time in no section, 0 to 1."""
        return max(0.0, 1.0 - sum(self.sections.values()))

    def spent(self, *names: str) -> float:
        """Return the share of wall time in these sections together, 0 to 1."""
        return sum(self.sections.get(name, 0.0) for name in names)

    @property
    def is_at_the_power_limit(self) -> bool:
        """Whether it draws all it may, as far as is known."""
        return (_ratio(self.power_watts, self.power_limit_watts) or 0.0) >= _AT_THE_LIMIT

    @property
    def clock_share(self) -> float | None:
        """SM clock against its maximum, 0 to 1: a maximum below what the card does is the driver's error."""
        share = _ratio(self.clock_sm_mhz, self.clock_sm_max_mhz)
        return None if share is None else min(1.0, share)

    @property
    def throttled(self) -> float | None:
        """Share of time in which anything lowers the clock, 0 to 1; None where the driver tells no reasons."""
        reasons = (self.throttle_thermal, self.throttle_power, self.throttle_hardware)
        return max((share for share in reasons if share is not None), default=None)

    @property
    def occupancy(self) -> float | None:
        """How much of the card its kernels fill while they run, 0 to 1: SM activity, else estimated from power.

        A card draws about 20 W and a seventh of its limit at rest (30 W of an L4's 72, 120 W of an H100's 700). What
        it draws above that, against what it may, grows with the processors that work. It also falls with the square
        of a clock that is held down, as voltage falls with the clock.
        """
        if not self.busy:
            return None
        if self.sm_percent is not None:
            return min(1.0, self.sm_percent / 100.0 / self.busy)
        if self.power_watts is None or not self.power_limit_watts:
            return None
        rest = _REST_WATTS * self.gpus + _REST_SHARE * self.power_limit_watts
        if self.lowest_power_watts is not None:
            rest = min(rest, self.lowest_power_watts)
        clock = self._clock_of_its_work
        if not clock or rest >= self.power_limit_watts:
            return None
        drawn = max(0.0, self.power_watts - rest) / (self.power_limit_watts - rest)
        full = self.busy * clock**2
        return 1.0 if drawn >= full else drawn / full

    @property
    def _clock_of_its_work(self) -> float | None:
        # A clock that nothing holds down is low because the card rests, and rises when it works.
        is_free = self.throttled == 0.0 or (self.throttled is None and self.clock_share is None)
        return 1.0 if is_free else self.clock_share


def _finite(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name)
    return value if value is not None and math.isfinite(value) else None


def _ratio(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None
