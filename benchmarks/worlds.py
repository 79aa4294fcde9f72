"""How fast is the training world, do both backends agree, and how soon do they start?

Speeds are physics steps of 2 ms over all environments, observation, reward and restarts included. MJX and native
alternate; ratios of medians. Agreement: the same starts and actions over 50 policy steps, and the return of one
trained policy on both. Usage: python benchmarks/worlds.py [--quick] [--fresh]; goes on where it stopped.
"""

from __future__ import annotations

import statistics
from typing import Any

from harness import Part, child

ROUNDS = 5
STARTS = 20
SOLVERS = {"as trained": (4, 8), "converged": (30, 30)}
"""Iterations of MJX's solver and of its line search."""


def main() -> None:
    """Measure what is missing and print the tables."""
    part = Part("soccer", __doc__, subject="worlds")
    steps = part.size(60, 5)
    sizes: dict[str, tuple[int, ...]] = {"native": (128, 256), "mjx": (256,)} if not part.quick else {"native": (16,)}
    speeds: dict[str, list[float]] = {}
    for turn in range(part.size(ROUNDS, 1)):
        for backend, numbers in sizes.items():
            for n in numbers:
                for level in ("none", "strong") if backend == "native" else ("none",):
                    name = f"{backend}, {n} environments, randomisation {level}"
                    said = part.measure(
                        f"speed/{name}/{turn}",
                        lambda b=backend, n=n, v=level: child("world_speed.py", b, n, steps, v),
                    )
                    speeds.setdefault(name, []).append(said["physics_steps_per_second"])
    print("| physics steps a second | median | range |\n|---|---|---|")
    for name, values in speeds.items():
        print(f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} to {max(values):,.0f} |")
    part.put("speed", {name: statistics.median(values) for name, values in speeds.items()})

    print("\n| apart after 50 policy steps | " + " | ".join(SOLVERS) + " |\n|---|---|---|")
    apart: dict[str, Any] = {
        name: part.measure(f"agreement/{name}", lambda s=solver: child("world_agreement.py", "apart", *s))
        for name, solver in SOLVERS.items()
    }
    for quantity in apart["converged"]:
        print(f"| {quantity} | " + " | ".join(f"{apart[name][quantity]:.1e}" for name in SOLVERS) + " |")

    iterations, line_search = SOLVERS["as trained"]
    returns = part.measure(
        "returns",
        lambda: child(
            "world_agreement.py", "returns", iterations, line_search, part.size(300_000, 2_000), timeout=580
        ),
    )
    for backend, (mean, low, high) in returns.items():
        print(f"{backend}: the policy's return is {mean:.1f} [{low:.1f}, {high:.1f}]")

    starts = part.size(STARTS, 2)
    for backend in ("native", "mjx"):
        # One that hangs is stopped by the harness, whose error ends the benchmark.
        said = [
            part.measure(f"start/{backend}/{i}", lambda b=backend: child("world_start.py", b)) for i in range(starts)
        ]
        first, *warm = (one["seconds"] for one in said)
        print(
            f"{backend}: {starts} starts, none hung; first step after {statistics.median(warm):.1f} s warm, "
            f"{max(warm):.1f} s at worst ({first:.1f} s the first time)"
        )


if __name__ == "__main__":
    main()
