"""Signals in the middle of log calls: handlers that log, exceptions that leave; nothing wedges or is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from touchline.tracking.journal import JournalReader

STORM = """
import itertools, signal, sys, time, touchline
from pathlib import Path

class Enough(Exception):
    pass

inside = False

def interrupt(number, frame):
    if inside:
        raise Enough

settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=())
run = touchline.start_run("train", settings=settings, run_id="r1", durability=sys.argv[2])
returned = []
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.003, 0.0017)
storms, end, latest = 0, time.monotonic() + 3, time.monotonic() + 30
for step in itertools.count():
    try:
        inside = True
        run.log({"x": float(step)}, step)
        inside = False
        returned.append(step)
    except Enough:
        storms += 1
    inside = False
    if time.monotonic() > (end if storms > 20 else latest):
        break
signal.setitimer(signal.ITIMER_REAL, 0)
run.finish()
Path(sys.argv[1], "returned").write_text(" ".join(map(str, returned)))
print(storms)
"""

HANDLER = """
import signal, sys, time, touchline
from pathlib import Path

settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=())
run = touchline.start_run("train", settings=settings, run_id="r1", durability=sys.argv[2])
handled = 0

def handler(number, frame):
    global handled
    handled += 1
    mine = handled  # one signal may come in the middle of another's handler
    run.log({"signal": float(mine)}, mine)
    run.alert("told", str(mine))

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
step, end = 0, time.monotonic() + 2
while time.monotonic() < end:
    step += 1
    run.log({"x": float(step)}, step)
    if step % 10 == 0:
        run.set_tags({"step": step})
signal.setitimer(signal.ITIMER_REAL, 0)
run.finish()
print(step, handled)
"""


def play(script: str, home: Path, durability: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", script, str(home), durability], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" not in done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("durability", ["batch", "commit"])
def test_exceptions_from_signals_leave_every_value_that_was_logged(durability: str, tmp_path: Path) -> None:
    (storms,) = play(STORM, tmp_path, durability)
    assert storms > 20
    returned = {int(word) for word in (tmp_path / "returned").read_text().split()}
    with JournalReader(tmp_path / "runs" / "r1" / "journal.db") as journal:
        kept = [event.step for event in journal.of_kind(["metrics"])]
        end = journal.newest("end")
    assert len(kept) == len(set(kept))
    assert not returned - set(kept)
    assert end is not None
    assert end.payload["status"] == "finished"


@pytest.mark.parametrize("durability", ["batch", "commit"])
def test_a_signal_handler_may_log(durability: str, tmp_path: Path) -> None:
    steps, handled = play(HANDLER, tmp_path, durability)
    assert handled > 20
    with JournalReader(tmp_path / "runs" / "r1" / "journal.db") as journal:
        metrics = journal.of_kind(["metrics"])
        alerts = journal.of_kind(["alert"])
    assert [event.step for event in metrics if "x" in event.payload] == list(range(1, steps + 1))
    assert sorted(event.step for event in metrics if "signal" in event.payload) == list(range(1, handled + 1))
    assert len(alerts) == handled
