"""A hundred kills: a small real SAC and a small real DDPG are killed again and again, in the middle of saves too.

Each start goes on from the newest checkpoint. After the last kill the training is let to its end, and an unbroken one
is made to the same step: weights, optimisers, buffer, environments and generators have to be equal bit for bit. An
interrupted benchmark goes on where it stopped. Usage: .venv/bin/python benchmarks/checkpoint_kills.py [--quick]
[--fresh]. Exits with 1 when anything differs.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import HERE, PEERS, Part, environment, table

from touchline.checkpoint import CheckpointStore

ENDLESS = 10**9
KINDS = ("sac", "ddpg")


def start(kind: str, directory: Path, total: int) -> subprocess.Popen[str]:
    """Start the training."""
    command = [sys.executable, str(PEERS / "checkpoint_training.py"), kind, str(directory), str(total)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def kill(kind: str, directory: Path, number: int) -> dict[str, Any]:
    """Start, kill -9 at a random instant, every other time in the middle of a save, and tell where it had begun."""
    chance = random.Random(number)
    process = start(kind, directory, ENDLESS)
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.readline()
    if not first.startswith("training"):
        raise RuntimeError(f"start {number} of {kind} failed: {process.stderr.read()[-2_000:]}")
    if number % 2:
        time.sleep(chance.uniform(0.0, 1.5))
    else:
        time.sleep(chance.uniform(0.0, 0.5))
        deadline = time.monotonic() + 5.0
        while not list(directory.glob(".partial-*")) and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(chance.uniform(0.0, 0.006))
    process.kill()
    process.wait()
    return {"began_at": int(first.split()[1]), "in_a_save": bool(list(directory.glob(".partial-*")))}


def finish(kind: str, directory: Path, total: int) -> dict[str, Any]:
    """Train to the end and return what it has come to."""
    out, errors = start(kind, directory, total).communicate()
    if not out.strip().endswith("}"):
        raise RuntimeError(f"{kind} did not end: {errors[-2_000:]}")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def compare(part: Part, work: Path, kind: str) -> list[Any]:
    """Kill one kind of training again and again, finish it, and set it beside an unbroken one."""
    killed, unbroken = work / kind / "killed", work / kind / "unbroken"
    killed.parent.mkdir(parents=True, exist_ok=True)
    kills = [
        part.measure(f"{kind} kill {number}", lambda number=number: kill(kind, killed, number))
        for number in range(part.size(100, 4))
    ]
    # A multiple of both numbers of environments, somewhat beyond where the last kill left it.
    total = part.measure(f"{kind} total", lambda: (CheckpointStore(killed).steps()[-1] + 480) // 24 * 24)
    one = part.measure(f"{kind} killed", lambda: finish(kind, killed, total))
    other = part.measure(f"{kind} unbroken", lambda: finish(kind, unbroken, total))
    differing = [name for name, digest in other["digests"].items() if one["digests"].get(name) != digest]
    went_back = sum(later["began_at"] < earlier["began_at"] for earlier, later in itertools.pairwise(kills))
    in_saves = sum(each["in_a_save"] for each in kills)
    return [kind, len(kills), in_saves, one["step"], one["updates"], went_back, ", ".join(differing) or "nothing"]


def main() -> int:
    """Kill, finish, compare."""
    part = Part("kills", __doc__, subject="checkpoint")
    work = HERE.parent / "build" / "benchmarks" / "checkpoint-kills"
    if len(part.results) <= 1:  # nothing but the machine
        shutil.rmtree(work, ignore_errors=True)
    rows = [compare(part, work, kind) for kind in KINDS]
    head = ["training", "kills", "in the middle of a save", "policy transitions", "updates", "went back", "differs"]
    table(head, rows)
    return 0 if all(row[-1] == "nothing" and row[-2] == 0 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
