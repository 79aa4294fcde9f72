"""A leashed command ends with its owner, and so does everything that it started."""

from __future__ import annotations

import sys
from pathlib import Path

from touchline import leash

from .processes import of_this_home, wait_until

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    open(sys.argv[1], "w").close()
time.sleep(600)
"""


def test_a_leashed_command_ends_with_its_children_even_if_they_refuse(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with (tmp_path / "log").open("wb") as log:
        process = leash.start([sys.executable, "-c", STUBBORN, str(ready)], log.fileno())
    wait_until(ready.exists)
    assert len(of_this_home(tmp_path)) == 3
    leash.end(process)
    assert of_this_home(tmp_path) == []


def test_what_a_leashed_command_leaves_behind_goes_with_it(tmp_path: Path) -> None:
    child = "[sys.executable, '-c', 'import time; time.sleep(600)', sys.argv[1]]"
    code = f"import subprocess, sys; subprocess.Popen({child})"
    with (tmp_path / "log").open("wb") as log:
        process = leash.start([sys.executable, "-c", code, str(tmp_path)], log.fileno())
    assert process.wait(timeout=20) == 0
    assert of_this_home(tmp_path) == []
