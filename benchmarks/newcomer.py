"""A newcomer's walk: from a clone to an own, tuned champion, by the commands of docs/tutorial.md and no others.

Usage: python benchmarks/newcomer.py [URL]. Without URL it clones this repository. Goals: at most 10 minutes and 12
commands. Needs git, make and Python; installs into the clone, in a temporary directory that is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
RESULTS = ROOT / "benchmarks" / "results" / "newcomer.json"
GOAL_SECONDS, GOAL_COMMANDS = 600.0, 12
MARK = "newcomer's command ended with "


def commands(page: str) -> list[str]:
    """The lines of the page's block that begins with a clone."""
    block = re.search(r"```bash\n(git clone .*?)```", page, re.DOTALL)
    if block is None:
        raise SystemExit(f"{PAGE} has no block of shell commands that begins with git clone.")
    return block[1].splitlines()


def walk(lines: list[str], url: str, place: Path) -> list[dict[str, object]]:
    """Give one shell the lines as a person does, one after the other; stops at the first that fails."""
    # A configured account or a virtual environment around this one would be help that a newcomer does not have; a
    # shell that keeps nothing compiled would be a hindrance.
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("TOUCHLINE_", "MLFLOW_", "WANDB_", "VIRTUAL_ENV", "PYTHONDONTWRITE"))
    }
    shell = subprocess.Popen(
        ["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=place, env=kept
    )
    assert shell.stdin is not None and shell.stdout is not None
    taken: list[dict[str, object]] = []
    for line in lines:
        began = time.monotonic()
        print(f"$ {line}", flush=True)
        shell.stdin.write(f'{{ {line.replace("URL", url)}; }} </dev/null\ncode=$?; echo; echo "{MARK}$code"\n')
        shell.stdin.flush()
        while not (said := shell.stdout.readline()).startswith(MARK):
            if not said:
                raise SystemExit("The shell has ended.")
            print(f"    {said}", end="")
        code = int(said.removeprefix(MARK))
        taken.append({"command": line, "seconds": round(time.monotonic() - began, 1), "code": code})
        if code:
            break
    shell.stdin.close()
    shell.wait()
    return taken


def main() -> int:
    """Walk, print the table, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", default=str(ROOT), help="what to clone")
    options = parser.parse_args()
    lines = commands(PAGE.read_text())
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="touchline-newcomer-", ignore_cleanup_errors=True) as place:
        taken = walk(lines, options.url, Path(place))
    seconds = sum(float(str(one["seconds"])) for one in taken)
    whole = len(taken) == len(lines) and not taken[-1]["code"]
    RESULTS.write_text(
        json.dumps({"load_before": round(load, 2), "seconds": seconds, "walk": taken}, indent=2) + "\n"
    )
    for one in taken:
        print(f"{one['seconds']:>7} s  {one['command']}")
    told = f"{len(lines)} commands (goal {GOAL_COMMANDS}), {seconds / 60:.1f} minutes (goal {GOAL_SECONDS / 60:.0f})"
    print(told if whole else f"Stopped at: {taken[-1]['command']}")
    return 0 if whole and seconds <= GOAL_SECONDS and len(lines) <= GOAL_COMMANDS else 1


if __name__ == "__main__":
    sys.exit(main())
