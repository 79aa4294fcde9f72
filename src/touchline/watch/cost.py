"""What a run costs: USD by device and hour, the share of it that idled, and energy; with a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from touchline.errors import UsageError
from touchline.watch.prices import Prices
from touchline.watch.snapshot import Snapshot

USD, USD_WASTED, ENERGY_WH = SERIES = ("cost/usd", "cost/usd_wasted", "cost/energy_wh")
LONGEST_GAP = 60.0
"""Seconds between two snapshots that are charged at most.

A driver that hangs holds the watch up for seconds. A longer silence is a process that was stopped or a machine that
was suspended, and nobody knows what it was charged for then: the meter counts what it saw.
"""
WARNED_SHARE = 0.8
"""Share of the budget at which it is warned of."""
State = Literal["ok", "warned", "spent"]
_CROSSINGS = ("warned", "spent", "unpriced")
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class PaidDevice:
    """One GPU that is paid for."""

    prefix: str
    """Of its series, such as ``gpu/`` or ``gpu/1/``."""
    usd_per_hour: float | None


def spent(earlier: Snapshot, later: Snapshot, devices: Sequence[PaidDevice]) -> dict[str, float]:
    """Return what was spent between two snapshots, each series that can be told; pure.

    Between two samples a figure is taken as the mean of both. Idle is 1 − utilisation, and a lost GPU idles: it is
    paid for. Energy is the growth of the counter where both snapshots have it (sampled power sees only a part of the
    time: Yang et al., arXiv 2312.02741), otherwise power × time.
    """
    hours = min(later.at - earlier.at, LONGEST_GAP) / _SECONDS_PER_HOUR
    prices = [device.usd_per_hour for device in devices if device.usd_per_hour is not None]
    result: dict[str, float] = {}
    if devices and len(prices) == len(devices):
        result[USD] = hours * sum(prices)
        _add_known(result, USD_WASTED, (_wasted(earlier, later, device, hours) for device in devices))
    _add_known(result, ENERGY_WH, (_energy_wh(earlier, later, device.prefix, hours) for device in devices))
    return result


def total(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sum the last ``cost/…`` values of several runs, such as the jobs of one pipeline; other series are left out.

    A run that was resumed counts once: its meter went on from where it was. A run without a series adds nothing to
    it, so the sum is what is known to have been spent.
    """
    result: dict[str, float] = {}
    for run in runs:
        result = _plus(result, {name: run[name] for name in SERIES if name in run})
    return result


class CostMeter:
    """Adds up what the snapshots of a watch cost; one thread observes, any thread may ask."""

    def __init__(
        self,
        prices: Prices | None = None,
        spot: bool = False,
        budget_usd: float | None = None,
        device_names: Sequence[str] = (),
        before: Mapping[str, float] | None = None,
    ) -> None:
        """Begin at ``before``, which is what ``metrics()`` said when the run was interrupted, or at nothing.

        Args:
            prices: the list prices if left out.
            spot: whether the devices are paid at spot prices.
            budget_usd: of the whole run, what was spent before included.
            device_names: of the devices that this run is charged for, as the driver tells them, in the order of
                ``gpu/0/…``, ``gpu/1/…``.
            before: the ``state_dict()`` of the run's earlier part, or the newest ``cost/…`` values that it logged.
                Where the run goes on from an older checkpoint, the newest values are right all the same, for what
                was undone was paid for. Other series are left out.

        Raises:
            UsageError: the budget is not above 0.
        """
        if budget_usd is not None and not budget_usd > 0.0:
            raise UsageError(f"A budget is above 0 USD, and this is {budget_usd}. Leave it out for none.")
        prices = prices or Prices()
        prefixes = ["gpu/"] if len(device_names) < 2 else [f"gpu/{index}/" for index in range(len(device_names))]
        found = [prices.usd_per_hour(name, spot) for name in device_names] or [None]
        self._devices = tuple(PaidDevice(prefix, price) for prefix, price in zip(prefixes, found, strict=True))
        self._why_unpriced = _why_unpriced(device_names, found, spot)
        self._budget = budget_usd
        self._told = {name: told for name in _CROSSINGS if (told := (before or {}).get(f"budget/{name}"))}
        self._latest: Snapshot | None = None
        self._totals = total([before or {}])
        if self._why_unpriced:
            self._totals = {name: value for name, value in self._totals.items() if name == ENERGY_WH}
        else:
            self._totals.setdefault(USD, 0.0)

    @property
    def usd_per_hour(self) -> float | None:
        """What all devices cost together, or None when one has no price."""
        if self._why_unpriced:
            return None
        return sum(device.usd_per_hour or 0.0 for device in self._devices)

    @property
    def absent(self) -> dict[str, str]:
        """The series that cannot be told now, each with the reason."""
        totals, latest = self._totals, self._latest
        reasons = {} if latest is None else latest.absent
        prefix = self._devices[0].prefix
        untold = "no two samples of it were taken yet"
        why = {
            USD: self._why_unpriced,
            USD_WASTED: self._why_unpriced or reasons.get(f"{prefix}utilization_percent", untold),
            ENERGY_WH: reasons.get(f"{prefix}power_watts", untold),
        }
        return {name: why[name] for name in SERIES if name not in totals}

    def observe(self, snapshot: Snapshot) -> str | None:
        """Charge the time since the last snapshot; return a sentence when the budget has just been crossed.

        Each of 80 % and 100 % is told once; a resumed run that is beyond one already, and begins with a state that
        does not know it as told, hears it at its first snapshot.
        A snapshot that is not newer than the last one is charged nothing.
        """
        earlier = self._latest
        if earlier is not None and snapshot.at <= earlier.at:
            return None
        if earlier is not None:
            self._totals = _plus(self._totals, spent(earlier, snapshot, self._devices))
        self._latest = snapshot
        return self._crossing()

    def metrics(self) -> dict[str, float]:
        """Return ``cost/usd``, ``cost/usd_wasted`` and ``cost/energy_wh`` of the run, those that can be told."""
        return dict(self._totals)

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run begins with: ``metrics()``, and of each crossing that was told, such as
        ``budget/warned``, the budget in USD that it was told of."""
        return {**self._totals, **{f"budget/{name}": usd for name, usd in self._told.items()}}

    def state(self) -> State:
        """Where the run is with its budget: "ok", "warned" from 80 % on, "spent" from 100 % on; ask at a boundary."""
        if self._budget is None or self._why_unpriced:
            return "ok"
        share = self._totals[USD] / self._budget
        return "spent" if share >= 1.0 else "warned" if share >= WARNED_SHARE else "ok"

    def _crossing(self) -> str | None:
        state = "unpriced" if self._why_unpriced else self.state()
        # What was told of a smaller budget is news again.
        if self._budget is None or state == "ok" or self._told.get(state, 0.0) >= self._budget:
            return None
        self._told = {**self._told, state: self._budget}
        if state == "unpriced":
            return f"The budget of {self._budget:.2f} USD guards nothing: {self._why_unpriced}."
        usd, rate = self._totals[USD], self.usd_per_hour
        share = f"{100 * usd / self._budget:.0f} % of its budget of {self._budget:.2f} USD"
        if state == "spent":
            return f"The run has cost {usd:.2f} USD, {share}. Stop it, or resume it with a larger budget."
        left = f" {60 * (self._budget - usd) / rate:.0f} min are left at {rate:.2f} USD an hour." if rate else ""
        return f"The run has cost {usd:.2f} USD, {share}.{left}"


def _why_unpriced(names: Sequence[str], prices: Sequence[float | None], spot: bool) -> str:
    if not names:
        return "no device is named that could have a price"
    missing = next((name for name, price in zip(names, prices, strict=True) if price is None), None)
    if missing is None:
        return ""
    kind, example = ("spot price", "ON_DEMAND/SPOT") if spot else ("price on demand", "USD_PER_HOUR")
    return f"no {kind} of {missing!r} is known; give it: WatchConfig(prices=['{missing}={example}'])"


def _plus(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in SERIES if name in a or name in b}


def _add_known(result: dict[str, float], name: str, parts: Iterable[float | None]) -> None:
    known = [part for part in parts if part is not None]
    if known:
        result[name] = sum(known)


def _mean(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None


def _wasted(earlier: Snapshot, later: Snapshot, device: PaidDevice, hours: float) -> float | None:
    idle = _mean(_idle_share(snapshot, device.prefix) for snapshot in (earlier, later))
    return None if idle is None or device.usd_per_hour is None else idle * device.usd_per_hour * hours


def _idle_share(snapshot: Snapshot, prefix: str) -> float | None:
    name = f"{prefix}utilization_percent"
    if name in snapshot.values:
        return 1.0 - min(max(snapshot.values[name] / 100.0, 0.0), 1.0)
    return 1.0 if "lost" in snapshot.absent.get(name, "") else None


def _energy_wh(earlier: Snapshot, later: Snapshot, prefix: str, hours: float) -> float | None:
    before, now = (snapshot.values.get(f"{prefix}energy_wh") for snapshot in (earlier, later))
    if before is not None and now is not None:
        # A counter that went back was begun anew, and has counted from 0 since.
        return now - before if now >= before else now
    watts = _mean(snapshot.values.get(f"{prefix}power_watts") for snapshot in (earlier, later))
    return None if watts is None else watts * hours
