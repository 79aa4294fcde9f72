"""Draw which scenarios of low utilisation are open while rules are tuned, and which are held out.

Within each label half of the scenarios, drawn with a fixed seed, goes to ``open/`` and half to ``held_out/``. Before
any file is moved all of them are checked: the fields that the README names, numbers that are possible and agree.
A drawn scenario stays where it is when the same files are drawn again. Usage:
python benchmarks/scenarios/split.py [--check]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "low_utilization"
SEED = 4127
LABELS = (
    *("environment_bound", "transfer_bound", "batch_too_small", "compiling", "waiting_for_sink"),
    *("thermally_throttled", "power_throttled", "none", "unknown"),
)
SECTIONS = ("environment", "transfer", "update", "evaluation", "checkpoint", "logging", "compile")
FIELDS = {
    *("label", "story", "device", "window_seconds", "series", "sections"),
    *("steps_per_second", "compilations", "batch_size"),
}
DIAGNOSED_BELOW_PERCENT = 80.0
POWER_OVERSHOOT = 1.02  # the driver holds the limit on average; single readings lie slightly above it

Scenario = dict[str, Any]


def read_all() -> dict[Path, Scenario]:
    """Return every scenario by its file, in the order of the files' names, wherever they lie."""
    return {
        path: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(HERE.glob("*/*.json"), key=lambda path: path.name)
    }


def faults(scenario: Scenario) -> Iterator[str]:
    """Yield a sentence for each thing in the scenario that the README rules out or physics does."""
    if set(scenario) != FIELDS:
        yield f"has the fields {sorted(scenario)} and should have {sorted(FIELDS)}"
        return
    if scenario["label"] not in LABELS:
        yield f"is labelled {scenario['label']!r}, which is none of {', '.join(LABELS)}"
    yield from _faults_of_series(scenario["series"])
    yield from _faults_of_sections(scenario["sections"])
    busy = scenario["series"]["gpu/utilization_percent"]["mean"] >= DIAGNOSED_BELOW_PERCENT
    if busy != (scenario["label"] == "none"):
        yield f"is labelled {scenario['label']} although its utilisation is {'not ' if busy else ''}below 80 %"


def _faults_of_series(series: dict[str, dict[str, float]]) -> Iterator[str]:
    for name, value in series.items():
        if not 0 <= value["min"] <= value["mean"] <= value["max"]:
            yield f"{name} has min, mean and max {value['min']}, {value['mean']}, {value['max']}: not in order"
        if name.endswith("_percent") and value["max"] > 100:
            yield f"{name} reaches {value['max']}, above 100"
        if "/throttle_" in name and value["max"] > 1:
            yield f"{name} reaches {value['max']}, above 1"
    for name, ceiling, overshoot in (
        ("gpu/power_watts", "gpu/power_limit_watts", POWER_OVERSHOOT),
        ("gpu/clock_sm_mhz", "gpu/clock_sm_max_mhz", 1.0),
    ):
        if name in series and series[name]["max"] > series[ceiling]["mean"] * overshoot:
            yield f"{name} reaches {series[name]['max']}, above {ceiling} {series[ceiling]['mean']}"
    if "gpu/sm_percent" in series and series["gpu/sm_percent"]["mean"] > series["gpu/utilization_percent"]["mean"]:
        yield "gpu/sm_percent is above gpu/utilization_percent, of which it is a part"


def _faults_of_sections(sections: dict[str, float]) -> Iterator[str]:
    for name in sorted(set(sections) - set(SECTIONS)):
        yield f"has a section {name!r}, which is none of {', '.join(SECTIONS)}"
    if sum(sections.values()) > 1.0 + 1e-9 or min(sections.values(), default=0.0) < 0.0:
        yield f"has sections that take {sum(sections.values()):.2f} of the time"


def draw(scenarios: dict[Path, Scenario]) -> dict[Path, Path]:
    """Return the file that each scenario belongs in; a label with an odd number has one more in ``open/``."""
    by_label: defaultdict[str, list[Path]] = defaultdict(list)
    for path, scenario in scenarios.items():
        by_label[scenario["label"]].append(path)
    generator = random.Random(SEED)
    places = {}
    for label in LABELS:
        drawn = generator.sample(by_label[label], k=len(by_label[label]))
        for rank, path in enumerate(drawn):
            places[path] = HERE / ("held_out" if rank < len(drawn) // 2 else "open") / path.name
    return places


def main() -> int:
    """Check all scenarios, then move (or with ``--check`` only report) those that lie in the wrong half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="move nothing; exit with 1 if something is wrong")
    only_check = parser.parse_args().check
    scenarios = read_all()
    wrong = [f"{path.name} {fault}" for path, scenario in scenarios.items() for fault in faults(scenario)]
    if wrong:
        print(*wrong, sep="\n")
        return 1
    misplaced = {path: place for path, place in draw(scenarios).items() if path != place}
    if only_check:
        for path, place in misplaced.items():
            print(f"{path.name} belongs in {place.parent.name}/")
        return 1 if misplaced else 0
    for path, place in misplaced.items():
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
    counts = Counter((scenario["label"], path.parent.name) for path, scenario in read_all().items())
    for label in LABELS:
        print(f"{label:20} open {counts[label, 'open']:2}  held out {counts[label, 'held_out']:2}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
