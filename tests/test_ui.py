"""``touchline ui`` with real servers: they answer on loopback, and nothing of them stays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from touchline import leash
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.ui import viewers

TOUCHLINE = Path(sys.executable).with_name("touchline")


def wait_until(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of_this_home(home: Path) -> list[int]:
    """Living processes that name the home on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or ())
        if str(home) in words and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(process.pid)
    return found


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The running command and the URL of each page."""
    process = subprocess.Popen(
        [str(TOUCHLINE), "ui", "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    urls: dict[str, str] = {}
    for line in process.stdout:
        if page := re.match(r"\s+(\w+)\s+(http://127\.0\.0\.1:\d+)$", line):
            urls[page[1]] = page[2]
        if "Ctrl-C" in line:
            break
    yield process, urls
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_pages_answer_and_leave_no_process_behind(
    ui: tuple[subprocess.Popen[str], dict[str, str]], tmp_path: Path, how: signal.Signals
) -> None:
    process, urls = ui
    assert list(urls) == ["MLflow", "TensorBoard"]
    assert "MLflow" in urllib.request.urlopen(urls["MLflow"], timeout=10).read().decode()
    assert "TensorBoard" in urllib.request.urlopen(urls["TensorBoard"], timeout=10).read().decode()
    process.send_signal(how)
    assert process.wait(timeout=20) == (0 if how != signal.SIGKILL else -signal.SIGKILL)
    wait_until(lambda: not of_this_home(tmp_path / "home"))
    for url in urls.values():
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=5)


def test_a_taken_port_is_a_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [str(TOUCHLINE), "ui", "--port", str(port), "--home", str(tmp_path / "home")],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"The port {port} cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert of_this_home(tmp_path / "home") == []


def test_pages_get_the_wanted_port_and_the_next(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1]
    pages = viewers(Settings.load(home=tmp_path), min(first, 60_000))
    assert [page.port for page in pages] == [min(first, 60_000), min(first, 60_000) + 1]


def test_a_port_that_cannot_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match="no port 70000"):
        viewers(Settings.load(home=tmp_path), 70_000)


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
