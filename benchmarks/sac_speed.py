"""How many policy transitions a second does our SAC make beside Brax's and SBX's?

The synthetic environment (`peers/synthetic.py`: 87 observations, 12 actions, hardly any work), equal widths, batches
of 256, one update for 64 transitions; after compilation. Ours runs on the environment as Gymnasium has it, like SBX,
and as functions on the device, like Brax. One process a measurement, all in turns; ratios of medians over rounds.

Usage: python benchmarks/sac_speed.py [--quick] [--fresh]; goes on where it stopped.
"""

from __future__ import annotations

import os
import statistics

from harness import Part, table
from sac_learners import available, run

ROUNDS = 5
BLOCKS = 6
"""Timed blocks of a measurement, whose median counts; one more before them compiles."""
WIDTHS = ("256x256x256", "128x128")
LEARNERS = {
    "Touchline, device": ("touchline", ("device",)),
    "Brax": ("brax", ()),
    "Touchline, Gymnasium": ("touchline", ("host",)),
    "SBX, 16 environments": ("sbx", (16,)),
    "SBX, 64 environments": ("sbx", (64,)),
}
"""Name → script of `peers/`, its last arguments."""
PAIRS = (
    ("Touchline, device", "Brax"),
    ("Touchline, Gymnasium", "Brax"),
    ("Touchline, Gymnasium", "SBX, 16 environments"),
    ("Touchline, Gymnasium", "SBX, 64 environments"),
)
GOAL = 1.5


def main() -> None:
    """Measure what is missing and print the tables."""
    part = Part("speed", __doc__, subject="sac")
    installed = available(("touchline", "brax", "sbx"))
    blocks, steps = part.size(BLOCKS, 2), part.size(60, 10)
    sizes = ("64x64",) if part.quick else WIDTHS
    speeds: dict[str, dict[str, list[float]]] = {widths: {} for widths in sizes}
    for turn in range(part.size(ROUNDS, 1)):
        for widths in sizes:
            for name, (script, more) in LEARNERS.items():
                if script not in installed:
                    continue
                key = f"{widths}/{name}/{turn}"
                said = part.measure(
                    key,
                    lambda s=script, w=widths, m=more: run(s, "speed", w, blocks, steps, *m, timeout=1_200),
                )
                speeds[widths].setdefault(name, []).append(statistics.median(said["transitions_per_second"]))
                load = (
                    f"load {part.results['load_before'][f'{widths}/{name}/{turn}']:.1f} to {said['load_after']:.1f}"
                )
                print(f"{widths} {name} {turn}: {speeds[widths][name][-1]:,.0f}/s, {load}", flush=True)
    for widths, found in speeds.items():
        rows = [[name, statistics.median(values), min(values), max(values)] for name, values in found.items()]
        table((f"transitions/s, {widths}", "median", "lowest round", "highest"), rows)
        for ours, theirs in PAIRS:
            if theirs not in found:
                continue
            ratio = statistics.median(found[ours]) / statistics.median(found[theirs])
            part.put(f"{widths}, {ours} / {theirs}", round(ratio, 3))
            print(f"{ours} / {theirs}: {ratio:.2f} (goal {GOAL}: {'met' if ratio >= GOAL else 'missed'})")
    print(
        f"\nload now {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; that of each measurement is in the file"
    )


if __name__ == "__main__":
    main()
