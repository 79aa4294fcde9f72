"""``touchline ui`` with its servers: they answer on loopback, nothing of them stays, and ports are as wanted."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.ui.servers import taken_from, viewers

from ..processes import of_this_home, wait_until

TOUCHLINE = Path(sys.executable).with_name("touchline")


@pytest.fixture
def ui(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and the address that it tells."""
    (tmp_path / "home").mkdir()
    process = subprocess.Popen(
        [str(TOUCHLINE), "ui", "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line):
            url = found[0]
        if "Ctrl-C" in line:
            break
    yield process, url
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_pages_answer_and_leave_no_process_behind(
    ui: tuple[subprocess.Popen[str], str], tmp_path: Path, how: signal.Signals
) -> None:
    process, url = ui
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    addresses: list[str] = []

    def both_are_up() -> bool:
        page = browser.open(url, timeout=10).read().decode()
        addresses[:] = re.findall(r'href="(http://127\.0\.0\.1:\d+)"', page)
        return len(addresses) == 2

    wait_until(both_are_up, 120.0)
    mlflow, tensorboard = addresses
    assert "MLflow" in urllib.request.urlopen(mlflow, timeout=10).read().decode()
    assert "TensorBoard" in urllib.request.urlopen(tensorboard, timeout=10).read().decode()
    process.send_signal(how)
    assert process.wait(timeout=20) == (0 if how != signal.SIGKILL else -signal.SIGKILL)
    wait_until(lambda: not of_this_home(tmp_path / "home"))
    for address in (url, mlflow, tensorboard):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=5)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_servers_that_are_still_starting_go_with_it(
    ui: tuple[subprocess.Popen[str], str], tmp_path: Path, how: signal.Signals
) -> None:
    process, _ = ui
    wait_until(lambda: len(of_this_home(tmp_path / "home")) >= 3)
    process.send_signal(how)
    process.wait(timeout=20)
    wait_until(lambda: not of_this_home(tmp_path / "home"))


def test_a_home_that_is_not_there_is_no_new_one(tmp_path: Path) -> None:
    arguments = [str(TOUCHLINE), "ui", "--home", str(tmp_path / "mistyped")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "mistyped is not there" in done.stderr
    assert not (tmp_path / "mistyped").exists()


def test_a_taken_port_is_a_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [str(TOUCHLINE), "ui", "--port", str(port), "--home", str(tmp_path / "home")],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"The port {port} cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert of_this_home(tmp_path / "home") == []


def test_servers_get_the_ports_that_they_are_given(tmp_path: Path) -> None:
    pages = viewers(Settings.load(home=tmp_path), [7_001, 7_002])
    assert [(page.name, page.port) for page in pages] == [("MLflow", 7_001), ("TensorBoard", 7_002)]


def test_a_port_that_cannot_exist_is_refused() -> None:
    with pytest.raises(TouchlineError, match="no port 70000"):
        taken_from(70_000, 1)
