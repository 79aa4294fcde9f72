import os
import signal
import subprocess
import sys
import threading

import pytest

from touchline.checkpoint import StopSignal

LOOP = """
import sys, threading
from touchline.checkpoint import StopSignal
try:
    with StopSignal() as stop:
        print("ready", flush=True)
        stop.wait(30)
        print(stop.requested, stop.reason, flush=True)
        if "hang" in sys.argv:
            threading.Event().wait(30)
except KeyboardInterrupt:
    print("at once", flush=True)
"""


@pytest.fixture
def loop():
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", LOOP, *arguments], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "preempted")], ids=["ctrl-c", "sigterm"]
)
def test_the_first_signal_sets_a_flag_and_the_loop_ends_by_itself(loop, number, reason):
    process = loop()
    process.send_signal(number)
    assert process.stdout.read() == f"True {reason}\n"
    assert process.wait() == 0


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM], ids=["after ctrl-c", "after sigterm"])
def test_ctrl_c_after_a_first_signal_interrupts_at_once(loop, first):
    process = loop("hang")
    process.send_signal(first)
    assert process.stdout.readline().startswith("True")
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "at once\n"
    assert process.wait() == 0


def test_sigterm_twice_is_still_one_clean_stop(loop):
    process = loop("hang")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "True preempted\n"
    assert process.poll() is None


def test_the_handlers_from_before_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignal() as stop:
        assert signal.getsignal(signal.SIGTERM) not in before
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_it_takes_requests_and_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with StopSignal() as stop:
            seen.append(signal.getsignal(signal.SIGINT))
            stop.request("interrupted")
            stop.request("preempted")
            seen.append((stop.requested, stop.reason))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, (True, "interrupted")]


def test_nothing_is_requested_at_first():
    with StopSignal() as stop:
        assert (stop.requested, stop.reason) == (False, None)
