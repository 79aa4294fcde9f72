"""The threads of a courier: one that hangs is told from one that has no processor."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from touchline.tracking import workers
from touchline.tracking.workers import Workers, processor_waits

SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile True: pass"


def test_waiting_for_a_processor_is_told_from_sleeping() -> None:
    processor = min(os.sched_getaffinity(0))
    rivals = [
        subprocess.Popen([sys.executable, "-c", SPIN, str(processor)], stdout=subprocess.PIPE) for _ in range(3)
    ]
    found: dict[str, float] = {}

    def work() -> None:
        os.sched_setaffinity(0, {processor})  # this thread alone
        thread, before = threading.get_native_id(), processor_waits()[threading.get_native_id()]
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            pass
        found["crowded"] = processor_waits()[thread] - before

    try:
        for rival in rivals:
            assert rival.stdout is not None
            rival.stdout.readline()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
            assert rival.stdout is not None
            rival.stdout.close()
    assert 0.3 < found["crowded"] <= 1.1


def test_a_call_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(workers, "STUCK_SECONDS", 0.3)
    done = threading.Event()
    calls = Workers()
    calls.call("r1", lambda: done.wait(60))
    assert calls.give_up() == []
    deadline = time.monotonic() + 300
    while calls.give_up() != ["r1"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done.set()


def test_a_call_without_a_processor_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(workers, "STUCK_SECONDS", 0.3)
    began = time.monotonic()
    monkeypatch.setattr(workers, "processor_waits", lambda: {1: 0.0, 2: time.monotonic() - began})
    done = threading.Event()
    calls = Workers()
    calls.call("r1", lambda: done.wait(60))
    time.sleep(0.5)
    assert calls.give_up() == []
    done.set()
