"""What do the two cures of jaxlib's deadlock cost? Milliseconds of an update of SAC, each cure in turn.

`touchline.jax_guard` switches XLA's concurrency-optimised scheduler off; letting XLA believe in eight processors
(`NPROC=8`) would cure the deadlock too. A process a measurement, ratios of medians over rounds.

Usage: python benchmarks/jax_threads.py [--quick] [--fresh]; goes on where it stopped.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from harness import Part, child, table

from touchline.jax_guard import SCHEDULER_FLAG

CURES = {
    "no cure": {"XLA_FLAGS": ""},
    "the flag": {"XLA_FLAGS": f"{SCHEDULER_FLAG}=false"},
    "NPROC=8": {"XLA_FLAGS": "", "NPROC": "8"},
    "both": {"XLA_FLAGS": f"{SCHEDULER_FLAG}=false", "NPROC": "8"},
}
WIDTHS = ("256x256x256", "128x128")
ROUNDS = 3


def main() -> None:
    """Measure what is missing and print the tables."""
    os.environ.pop("NPROC", None)
    part = Part("threads", __doc__, subject="jax")
    cache = str(Path(tempfile.gettempdir()) / "touchline-benchmark-threads-jax-cache")
    common = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": cache}
    updates, blocks = part.size(40, 4), part.size(7, 2)
    for widths in WIDTHS:
        took: dict[str, list[float]] = {cure: [] for cure in CURES}
        for turn in range(part.size(ROUNDS, 1)):
            for cure, variables in CURES.items():
                said = part.measure(
                    f"{widths}/{cure}/{turn}",
                    lambda w=widths, v=variables: child("sac_update.py", w, updates, blocks, **common, **v),
                )
                took[cure].append(statistics.median(said["milliseconds"]))
        flag = statistics.median(took["the flag"])
        rows = [
            [cure, statistics.median(values), min(values), max(values), statistics.median(values) / flag]
            for cure, values in took.items()
        ]
        table((f"ms an update, {widths}", "median", "lowest round", "highest", "÷ the flag"), rows)


if __name__ == "__main__":
    main()
