"""What a SIGKILL of the trainer at a random instant loses, ours and the peers, at 200 and 2,000 log calls a second.

Goals: at most 50 ms of logging, and nothing with durability="commit". The loss is the time between the last call that
returned and the last one whose point is on disk. Usage: python benchmarks/tracking_kill_loss.py [--quick]
"""

from __future__ import annotations

import random
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import PEERS, Part, environment, peers_python, scratch, table

sys.path.insert(0, str(PEERS))
from loggers import NEEDS_PEERS
from survivors import steps_in

OURS = ("touchline", "touchline commit")
OTHERS = ("wandb offline", "MLflow async", "trackio", "neptune-scale offline")
RATES = (200, 2_000)
START_SECONDS = 60.0
_rng = random.Random(3)


def kill_once(name: str, hertz: int, python: Path | str) -> dict[str, float]:
    """Start a trainer, kill it between 0.3 and 1.5 s after its first call, and see what is left."""
    with scratch() as place:
        command = [str(python), str(PEERS / "victim.py"), name, str(hertz), str(place)]
        trainer = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), cwd=place
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not returned(place) and trainer.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(_rng.uniform(0.3, 1.5))
        finally:
            trainer.kill()
            trainer.wait()
        moments = returned(place)
        if not moments:
            raise RuntimeError(f"{name} did not log anything within {START_SECONDS:g} s.")
        time.sleep(1.0 if name not in OURS else 0.0)  # a helper process may still write what it was handed
        found = steps_in(name, Path((place / "file").read_text()))
    lost = [step for step in range(len(moments)) if step not in found]
    last = max((step for step in found if step < len(moments)), default=-1)
    since = moments[last] if last >= 0 else moments[0] - 1.0 / hertz
    return {"logged": len(moments), "lost": len(lost), "lost_ms": round(1e3 * (moments[-1] - since), 2)}


def returned(place: Path) -> list[float]:
    """The moments of the calls that returned so far."""
    try:
        data = (place / "moments").read_bytes()
    except OSError:
        return []
    if len(data) < 8:  # the trainer has only just made it
        return []
    count = int(struct.unpack_from("d", data)[0])
    return list(struct.unpack_from(f"{count}d", data, 8))


def summary(kills: list[dict[str, float]]) -> dict[str, float]:
    """The usual and the worst loss."""
    return {
        "kills": len(kills),
        "calls": sum(int(kill["logged"]) for kill in kills),
        "lost_calls": sum(int(kill["lost"]) for kill in kills),
        "lost_ms_median": statistics.median(kill["lost_ms"] for kill in kills),
        "lost_ms_worst": max(kill["lost_ms"] for kill in kills),
    }


def main() -> None:
    """Kill in turns, keep after each kill, and print."""
    part = Part("kill_loss", __doc__)
    peers = peers_python()
    cases = [(name, rate, part.size(20, 3)) for name in OURS for rate in RATES]
    cases += [(name, 200, part.size(4, 1)) for name in OTHERS if name not in NEEDS_PEERS or peers is not None]
    kills: dict[str, list[dict[str, float]]] = part.results.setdefault("kills", {})
    for number in range(max(times for *_, times in cases)):
        for name, rate, times in cases:
            done = kills.setdefault(f"{name}, {rate} Hz", [])
            if len(done) <= number < times:
                python = peers if peers is not None and name in NEEDS_PEERS else sys.executable
                done.append(kill_once(name, rate, python))
                part.save()
        print(f"round {number + 1} of kills", flush=True)
    summaries: dict[str, Any] = {name: summary(found) for name, found in kills.items()}
    part.put("summary", summaries)
    keys = ("kills", "calls", "lost_calls", "lost_ms_median", "lost_ms_worst")
    table(["logger, calls a second", *keys], [[name, *(one[key] for key in keys)] for name, one in summaries.items()])


if __name__ == "__main__":
    main()
