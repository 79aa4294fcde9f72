"""A forked child records nothing, says so once, ends nothing, and keeps nothing alive."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import touchline
from tests.tracking.conftest import couriers_of, trainer, until
from touchline.config import Settings
from touchline.tracking.delivery import read_delivery
from touchline.tracking.journal import JournalReader

START = """
import os, sys, time, multiprocessing, touchline
from pathlib import Path
settings = touchline.Settings(home=Path(sys.argv[1]), sinks=())
run = touchline.start_run("train", settings=settings, run_id="r1")
run.log({"parent": 1.0}, 0)
"""


def record(home: Path, body: str) -> tuple[list[str], str]:
    """Run a script; returns the names of the metrics it kept, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", START + body, str(home)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        journal.check()
        assert [event.kind for event in journal.of_kind(["start", "end"])] == ["start", "end"]
        return [name for event in journal.of_kind(["metrics"]) for name in event.payload], done.stderr


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "run.finish(); sys.exit(0)"])
def test_a_forked_child_that_logs_and_leaves_changes_nothing(home: Path, leave: str) -> None:
    names, errors = record(
        home,
        "child = os.fork()\nif child == 0:\n"
        f"    run.log({{'child': 1.0}}, 1); run.log({{'child': 1.0}}, 2); {leave}\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "run.log({'parent': 2.0}, 3)\nrun.finish()\n",
    )
    assert names == ["parent", "parent"]
    assert errors.count("was forked from the one that owns the run") == 1


def test_a_child_that_leaves_the_block_of_the_run_ends_nothing_and_does_not_wait(home: Path) -> None:
    names, _ = record(
        home,
        "began = time.monotonic()\nwith run:\n    child = os.fork()\n"
        "    if child:\n        os.waitpid(child, 0); run.log({'parent': 2.0}, 1)\n"
        "if child == 0:\n    os._exit(0)\n"
        "assert time.monotonic() - began < 20\n",
    )
    assert names == ["parent", "parent"]


def test_workers_of_multiprocessing_that_log_are_told_once_each(home: Path) -> None:
    names, errors = record(
        home,
        "def work(n):\n    run.log({'child': n}, n); print('worker', n); return n\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    assert pool.map(work, range(8)) == list(range(8))\n"
        "run.finish()\n",
    )
    assert names == ["parent"]
    assert 1 <= errors.count("was forked from the one that owns the run") <= 2


@pytest.mark.slow
def test_data_loader_workers_that_log_keep_nothing_and_the_loop_goes_on(home: Path) -> None:
    pytest.importorskip("torch")
    names, errors = record(
        home,
        "import torch\n"
        "class Data(torch.utils.data.Dataset):\n"
        "    def __len__(self): return 8\n"
        "    def __getitem__(self, i): run.log({'worker': i}, i); return float(i)\n"
        "loader = torch.utils.data.DataLoader(Data(), num_workers=2, multiprocessing_context='fork')\n"
        "for step, batch in enumerate(loader, 1): run.log({'parent': float(batch)}, step)\n"
        "run.finish()\n",
    )
    assert names == ["parent"] * 9
    assert 1 <= errors.count("was forked from the one that owns the run") <= 2


def test_a_worker_that_outlives_its_trainer_keeps_neither_the_run_alive_nor_its_locks(
    home: Path, tmp_path: Path
) -> None:
    process = trainer(
        home,
        "run.log({'x': 1.0}, 1)\nrun.wait_delivered('tensorboard', 30)\n"
        "worker = os.fork()\nif worker == 0: time.sleep(600)\nprint(worker, flush=True)\ntime.sleep(600)\n",
        tmp_path,
        sinks=("tensorboard",),
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        settings = Settings(home=home, sinks=("tensorboard",), capture=())
        until(lambda: read_delivery(home / "runs" / "r1", ["tensorboard"])["tensorboard"].state == "done")
        until(lambda: not couriers_of(home))
        os.kill(worker, 0)  # it is there still
        for lock in (home / "couriers").glob("*.lock"):
            with lock.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        again = touchline.start_run("train", settings=settings, run_id="r1")
        again.log({"x": 2.0}, 2)
        assert again.finish(timeout=300).complete
    finally:
        os.kill(worker, signal.SIGKILL)
    cursor = (home / "runs" / "r1" / "delivery" / "tensorboard.json").read_text()
    assert '"closed": "finished"' in cursor


def test_a_fork_in_the_middle_of_a_probe_leaves_no_lock_with_the_child(home: Path) -> None:
    body = """
import threading
from touchline.tracking.launch import CourierLock
lock = CourierLock(settings, "tensorboard")
stop = threading.Event()
def probe():
    while not stop.is_set(): lock.is_held()
thread = threading.Thread(target=probe); thread.start()
children = []
for _ in range(40):
    child = os.fork()
    if child == 0: time.sleep(60); os._exit(0)
    children.append(child)
stop.set(); thread.join()
held = not lock.acquire()
import signal
for child in children: os.kill(child, signal.SIGKILL); os.waitpid(child, 0)
assert not held, "a child inherited the lock"
run.finish()
"""
    assert record(home, body)[0] == ["parent"]
