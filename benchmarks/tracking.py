"""All tracking benchmarks one after the other; an interrupted one goes on where it stopped.

Usage: python benchmarks/tracking.py [--quick] [--fresh] [PART ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

PARTS = ("log_cost", "jax_loop", "capacity", "kill_loss", "outage", "many", "deliver", "throughput")


def main() -> None:
    """Run the parts, each as the script it is; exits with the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; kept in build/")
    parser.add_argument("--fresh", action="store_true", help="begin anew instead of going on")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"There is no part {part!r}. The parts are: {', '.join(PARTS)}.")
    flags = [f"--{name}" for name in ("quick", "fresh") if getattr(options, name)]
    failed = []
    for part in options.parts or PARTS:
        print(f"## {part}", flush=True)
        began = time.monotonic()
        script = Path(__file__).with_name(f"tracking_{part}.py")
        if subprocess.run([sys.executable, str(script), *flags], check=False).returncode != 0:
            failed.append(part)
        print(f"{part} took {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"These failed: {', '.join(failed)}. Start again to go on where they stopped.")
    sys.exit(len(failed))


if __name__ == "__main__":
    main()
