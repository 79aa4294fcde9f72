"""What one log call of ten numbers costs the loop: ours and the peers, each in a process of its own, in turns.

Goals: 10 Python floats, tight: median at most 2 µs, 99th percentile at most 20 µs; one call every 5 ms: at most
25 µs; committed inline: at most 40 µs tight and 300 µs paced. Usage: python benchmarks/tracking_log_cost.py [--quick]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from harness import PEERS, Part, child, median_of, peers_python, scratch, table

sys.path.insert(0, str(PEERS))
from loggers import LOGGERS, NEEDS_PEERS

CALLS = {
    "touchline": 20_000,
    "touchline commit": 5_000,
    "trackio": 2_000,
    "wandb offline": 2_000,
    "neptune-scale offline": 2_000,
    "TensorBoard": 2_000,
    "MLflow async": 200,
    "MLflow log_metrics": 100,
    "MLflow log_metric per key": 30,
    "MLflow log_batch": 2_000,
}
"""Calls of a tight loop, so that each logger takes a second or three."""
PACED_CALLS = 300
VALUES = ("numpy", "torch", "jax")


def one(part: Part, name: str, kind: str, python: Any, template: Path) -> dict[str, Any]:
    """Measure one logger once."""
    calls = max(20, CALLS[name] // part.size(1, 10))
    paced = min(PACED_CALLS, 3 * CALLS[name]) // part.size(1, 10)
    with scratch() as directory:
        more = [template] if name.startswith("MLflow") else []
        found: dict[str, Any] = child("time_logger.py", name, kind, calls, paced, directory, *more, python=python)
    print(
        f"{name} ({kind}): {found['tight']['median_us']} µs tight, {found['paced']['median_us']} µs paced", flush=True
    )
    return found


def main() -> None:
    """Measure in alternating rounds, keep and print."""
    part = Part("log_cost", __doc__)
    peers = peers_python()
    loggers = [name for name in LOGGERS if name not in NEEDS_PEERS or peers is not None]
    part.put("left_out", [name for name in LOGGERS if name not in loggers])
    rounds = part.size(3, 1)
    cases = [(name, "float") for name in loggers] + [("touchline", kind) for kind in VALUES]
    with scratch() as place:
        template = place / "template"
        template.mkdir()
        for number in range(rounds):
            for name, kind in cases:
                if name.startswith("MLflow") and not any(template.iterdir()):
                    # Every MLflow starts on a store whose tables are made, as in daily life.
                    child("make_store.py", template)
                python = peers if name in NEEDS_PEERS else sys.executable
                measured = partial(one, part, name, kind, python, template)
                part.measure(f"{name}, {kind}, round {number}", measured)
    medians: dict[str, Any] = {}
    for name, kind in cases:
        found = [part.results[f"{name}, {kind}, round {number}"] for number in range(rounds)]
        medians[name if kind == "float" else f"{name}, {kind} scalars"] = {
            f"{phase}_{figure}": round(median_of(found, phase, figure), 2)
            for phase in ("tight", "paced")
            for figure in ("median_us", "p99_us", "wall_us_a_call")
        }
    part.put("medians", medians)
    ours = medians["touchline"]
    table(
        ["10 numbers", "tight µs", "ratio", "p99 µs", "incl. finish µs", "paced µs", "ratio", "p99 µs"],
        [
            [
                name,
                one["tight_median_us"],
                one["tight_median_us"] / ours["tight_median_us"],
                one["tight_p99_us"],
                one["tight_wall_us_a_call"],
                one["paced_median_us"],
                one["paced_median_us"] / ours["paced_median_us"],
                one["paced_p99_us"],
            ]
            for name, one in medians.items()
        ],
    )


if __name__ == "__main__":
    main()
