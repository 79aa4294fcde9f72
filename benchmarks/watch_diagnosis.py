"""How often the diagnosis of low utilisation names the labelled cause: both halves of the scenarios, and a baseline.

Goal: at least 90 % in each half. ``held_out/`` is scored where it exists; ``--half open`` leaves it alone, for use
while rules are written. The baseline names the cause of the largest timed section, without any thought.
Beside it: what one timed section costs the loop, the best of many rounds.
Run: .venv/bin/python benchmarks/watch_diagnosis.py [--half open]. Exits with 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import timeit
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from touchline.watch.diagnosis import Evidence, diagnose
from touchline.watch.sections import Sections

SCENARIOS = Path(__file__).parent / "scenarios" / "low_utilization"
RESULTS = Path(__file__).parent / "results" / "watch-diagnosis.json"
GOAL = 0.9
ROUNDS, BLOCKS = 60, 5_000
CAUSE_OF_SECTION = {
    "environment": "environment_bound",
    "evaluation": "environment_bound",
    "transfer": "transfer_bound",
    "update": "batch_too_small",
    "compile": "compiling",
    "checkpoint": "waiting_for_sink",
    "logging": "waiting_for_sink",
}

Scenario = dict[str, Any]
Outcome = tuple[str, str, str]
"""(file, label, answer)."""


def evidence_of(scenario: Scenario) -> Evidence:
    """Build what a watch would hand over; the label and the story stay behind."""
    series = scenario["series"]
    return Evidence.of(
        {name: value["mean"] for name, value in series.items()},
        scenario["sections"],
        lowest={name: value["min"] for name, value in series.items()},
        steps_per_second=scenario["steps_per_second"],
        compilations=scenario["compilations"],
        batch_size=scenario["batch_size"],
        window_seconds=scenario["window_seconds"],
    )


def by_the_rules(scenario: Scenario) -> str:
    """The diagnosis that is judged."""
    diagnosis = diagnose(evidence_of(scenario))
    return diagnosis.cause if diagnosis else "none"


def by_the_largest_section(scenario: Scenario) -> str:
    """The baseline."""
    if scenario["series"]["gpu/utilization_percent"]["mean"] >= 80.0:
        return "none"
    sections = scenario["sections"]
    return CAUSE_OF_SECTION[max(sections, key=sections.__getitem__)] if sections else "unknown"


def outcomes(half: str, name_cause: Callable[[Scenario], str]) -> list[Outcome]:
    """Judge every scenario of one half, in the order of the files' names."""
    scenarios = {
        path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((SCENARIOS / half).glob("*.json"))
    }
    return [(name, scenario["label"], name_cause(scenario)) for name, scenario in scenarios.items()]


def score(judged: list[Outcome]) -> dict[str, Any]:
    """Return how many are right, of how many, and which are wrong."""
    wrong = [outcome for outcome in judged if outcome[1] != outcome[2]]
    return {"right": len(judged) - len(wrong), "of": len(judged), "wrong": wrong}


def confusion(judged: list[Outcome]) -> str:
    """Draw the table: a row for each label, a column for each answer."""
    counts = Counter((label, answer) for _, label, answer in judged)
    names = sorted({name for pair in counts for name in pair})
    rows = [f"| {label} | " + " | ".join(str(counts[label, name] or "·") for name in names) + " |" for label in names]
    return "\n".join((f"| label ↓ answer → | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|", *rows))


def microseconds_a_block(context: Callable[[], AbstractContextManager[None]]) -> float:
    """Microseconds that entering and leaving the context takes."""

    def one() -> None:
        with context():
            pass

    return min(timeit.repeat(one, number=BLOCKS, repeat=ROUNDS)) / BLOCKS * 1e6


def main() -> int:
    """Print both tables and keep the figures; returns 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("open", "held_out"), help="score only this half, and keep no figures")
    chosen = parser.parse_args().half
    halves = [half for half in ("open", "held_out") if (SCENARIOS / half).is_dir() and chosen in (None, half)]
    kept: dict[str, Any] = {}
    for half in halves:
        judged = outcomes(half, by_the_rules)
        kept[half] = {"rules": score(judged), "largest section": score(outcomes(half, by_the_largest_section))}
        print(f"\n{half}\n{confusion(judged)}")
        for name, label, answer in kept[half]["rules"]["wrong"]:
            print(f"wrong: {name} is {label}, answered {answer}")
    print("\n| half | rules | largest timed section | goal |\n|---|---|---|---|")
    for half, scores in kept.items():
        shares = [f"{s['right']} of {s['of']} ({s['right'] / s['of']:.0%})" for s in scores.values()]
        print(f"| {half} | {' | '.join(shares)} | {GOAL:.0%} |")
    cost, empty = microseconds_a_block(partial(Sections(), "update")), microseconds_a_block(nullcontext)
    print(f"\nOne section costs the loop {cost:.2f} µs; contextlib.nullcontext() {empty:.2f} µs.")
    if chosen is None:
        kept["microseconds"] = {"section": round(cost, 2), "nullcontext": round(empty, 2)}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return int(any(kept[half]["rules"]["right"] < GOAL * kept[half]["rules"]["of"] for half in halves))


if __name__ == "__main__":
    sys.exit(main())
