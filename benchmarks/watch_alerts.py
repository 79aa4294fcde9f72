"""What the watch's alerts catch and what they cry about: ramps of memory, days on which nothing is wrong, flapping.

Usage: python benchmarks/watch_alerts.py [--quick]. Exits with the number of goals that are missed.

Memory comes labelled from ``watch_alerts_memory.py``. Odd seeds were held out while the rules were tuned, and the
figures tell both halves apart. Time is simulated, so that no figure but the last depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from watch_alerts_memory import DAY, SERIES, SHAPES, Ramp, Values, day, ramp

from touchline.watch.alerts import Alerts
from touchline.watch.snapshot import Snapshot

RESULTS = Path(__file__).parent / "results" / "watch-alerts.json"
NEEDED_LEAD = 30.0
FLAPS = 1_000


@dataclass(frozen=True)
class Warned:
    """What became of a ramp."""

    ramp: Ramp
    lead: float | None
    """Seconds from the forecast until the memory was full; None: no forecast came after the ramp began."""
    early: int
    """Alerts before there was anything to tell."""

    @property
    def in_time(self) -> bool:
        """Whether the forecast came soon enough."""
        return self.lead is not None and self.lead >= NEEDED_LEAD


def stream(values: Values) -> Iterator[Snapshot]:
    """One snapshot a second."""
    names = list(values)
    for second, row in enumerate(np.stack(list(values.values()), axis=1).tolist()):
        yield Snapshot(float(second), dict(zip(names, row, strict=True)))


def warned(given: Ramp) -> Warned:
    """Watch a ramp until its forecast."""
    alerts, early, full = Alerts(), 0, len(given.values["gpu/memory_percent"]) - 1
    for snapshot in stream(given.values):
        rules = [alert.rule for alert in alerts.observe(snapshot)]
        if snapshot.at <= given.begin:
            early += len(rules)
        elif "oom_forecast" in rules:
            return Warned(given, full - snapshot.at, early)
    return Warned(given, None, early)


def false_alerts(seed: int) -> list[str]:
    """The rules that told something on a day on which nothing was wrong."""
    alerts, told = Alerts(), []
    for snapshot in stream(day(seed)):
        alerts.training(int(snapshot.at), {"loss": 1.0}, snapshot.at)
        told += [alert.rule for alert in alerts.observe(snapshot) if not alert.recovered]
    return told


def flapping(period: int, low: float, high: float) -> dict[str, int]:
    """How much is told while a GPU's memory flaps 1,000 times, and in the two hours of quiet after it."""
    flaps = np.tile(np.repeat([high, low], period // 2), FLAPS)
    values = np.concatenate([np.full(60, 50.0), flaps, np.full(7_200, 50.0)])
    alerts = Alerts()
    told = [alert for snapshot in stream({"gpu/memory_percent": values}) for alert in alerts.observe(snapshot)]
    recovered = sum(alert.recovered for alert in told)
    return {"alerts": len(told) - recovered, "recoveries": recovered}


def cost() -> float:
    """CPU microseconds of a sample with every series of four GPUs and both allocators."""
    names = ("utilization_percent", "memory_percent", "temperature", "power_watts", "clock_sm_mhz", "energy_wh")
    flags = ("throttle_thermal", "throttle_power", "throttle_hardware")
    gpus = ("gpu/", *(f"gpu/{index}/" for index in range(4)))
    quiet = dict.fromkeys((f"{gpu}{name}" for gpu in gpus for name in names + flags), 0.0)
    random, samples = np.random.default_rng(0), 5_000
    memory = np.minimum(40.0 + 0.01 * np.arange(samples) + random.normal(0.0, 0.2, samples), 94.0).tolist()
    filling = [f"{owner}memory_percent" for owner in (*gpus, "jax/", "torch/")]
    snapshots = [Snapshot(float(i), {**quiet, **dict.fromkeys(filling, memory[i])}) for i in range(samples)]
    alerts, began = Alerts(), time.process_time()
    for snapshot in snapshots:
        alerts.observe(snapshot)
    return 1e6 * (time.process_time() - began) / samples


def summary(found: Sequence[Warned], days: Sequence[list[str]]) -> dict[str, Any]:
    """The figures of one half of the seeds."""
    leads = [one.lead for one in found if one.lead is not None]
    late = Counter(f"{one.ramp.shape}, {one.ramp.series}" for one in found if not one.in_time)
    return {
        "ramps": len(found),
        "warned_in_time_percent": round(100.0 * sum(one.in_time for one in found) / len(found), 2),
        "median_lead_seconds": statistics.median(leads),
        "late_or_missed": dict(late),
        "alerts_before_the_ramp": sum(one.early for one in found),
        "days": len(days),
        "false_alerts_a_day": round(sum(map(len, days)) / len(days), 3),
        "false_alerts": dict(Counter(rule for told in days for rule in told)),
        "days_without_any": sum(not told for told in days),
    }


def ramps(seeds: int) -> Iterator[tuple[int, Ramp]]:
    """Every shape in every series; a leak takes hours, so that fewer of it are looked at."""
    for shape in SHAPES:
        for series in SERIES:
            for seed in range(seeds if shape != "leak" else max(2, seeds // 5)):
                yield seed, ramp(shape, series, seed)


def main() -> int:
    """Print the figures and keep them; returns how many goals are missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few seeds, to see that it works; nothing is kept")
    quick = parser.parse_args().quick
    found = [(seed, warned(given)) for seed, given in ramps(2 if quick else 40)]
    days = [(seed, false_alerts(seed)) for seed in range(2 if quick else 40)]
    results: dict[str, Any] = {"simulated_seconds_of_a_day": DAY}
    for half, odd in (("tuned on", 0), ("held out", 1)):
        ours = [one for seed, one in found if seed % 2 == odd], [told for seed, told in days if seed % 2 == odd]
        results[half] = summary(*ours)
    flaps = [(2, 94.0, 96.0), (2, 80.0, 99.0), (20, 80.0, 99.0), (120, 80.0, 99.0), (600, 80.0, 99.0)]
    results["flaps"] = {
        f"{low:g} and {high:g} %, every {period} s": flapping(period, low, high)
        for period, low, high in (flaps[:2] if quick else flaps)
    }
    results["microseconds_a_sample_of_four_gpus"] = round(cost(), 1)
    print(json.dumps(results, indent=1))
    if not quick:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    unseen = results["held out"]
    return sum(
        (
            unseen["warned_in_time_percent"] < 100.0,
            unseen["false_alerts_a_day"] >= 1.0,
            any(told["alerts"] > 2 for told in results["flaps"].values()),
            results["microseconds_a_sample_of_four_gpus"] > 1_000.0,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
