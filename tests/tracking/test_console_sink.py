"""The console sink shows the last values and stays out of the training's way."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.sinks import console as console_sink
from touchline.tracking.sinks.base import RunInfo
from touchline.tracking.sinks.console import ConsoleSink, sparkline

from .conftest import couriers_of, until


def on_a_terminal(body: str, home: Path) -> str:
    """What a terminal gets from a training script in which ``run`` is open."""
    script = (
        "import os, time, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(home)!r}), sinks=('console',), capture=())\n"
        "run = touchline.start_run('train', name='first', settings=settings)\n" + textwrap.dedent(body)
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    read = bytearray()
    with os.fdopen(leader, "rb", 0) as terminal:
        try:
            while data := terminal.read(65_536):
                read += data
        except OSError:  # how Linux says that nobody writes any more
            pass
    assert process.wait(30) == 0
    return read.decode()


def test_a_terminal_gets_a_table_in_its_place_below_what_the_training_prints(home: Path) -> None:
    body = """
    shown = run._view
    def drawn(times):
        while len(pictures) < times:
            time.sleep(0.01)
    from touchline.tracking.sinks.console_screen import Screen
    pictures, draw = [], Screen.draw
    Screen.draw = lambda self, what, last=False: (draw(self, what, last), pictures.append(1))
    run.log({"loss": 0.25}, 7)
    drawn(1)
    print("hello from the training")
    print("half", end="")
    drawn(2)
    print(" a line")
    run.log({"loss": 0.125}, 8)
    drawn(4)
    run.finish()
    print("after")
    """
    text = on_a_terminal(body, home)
    assert "half a line\r\n" in text  # a picture waits for the end of a line
    assert "\x1b[0Jhello from the training\r\n" in text  # and is wiped before anything is printed
    last = text[text.rindex("\x1b[0J") :]
    assert "first  finished" in last
    assert "0.125" in last
    assert last.endswith("after\r\n")
    assert not (home / "couriers").exists()


def test_elsewhere_it_writes_a_line_and_ends_with_the_run(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_sink, "LINE_SECONDS", 0.0)
    run = touchline.start_run("train", name="first", settings=Settings(home=home, sinks=("console",)))
    run.log({"loss": 0.5}, 3)
    errors: list[str] = []
    until(lambda: errors.append(capsys.readouterr().err) or any("loss 0.5" in text for text in errors))
    delivery = run.finish("failed", reason="no power")
    assert delivery == {}
    assert "first failed  step 3  loss 0.5  (no power)" in capsys.readouterr().err
    assert not any(thread.name == "touchline-console" for thread in threading.enumerate())
    assert not couriers_of(home)


def test_a_broken_terminal_is_told_once_and_disturbs_nothing(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("the terminal is gone")

    monkeypatch.setattr(console_sink, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Broken())
    caplog.set_level(logging.WARNING, "touchline")
    run = touchline.start_run("train", settings=Settings(home=home, sinks=("console",)))
    run.log({"loss": 0.5}, 3)
    until(lambda: "the terminal is gone" in caplog.text)
    run.log({"loss": 0.25}, 4)
    run.finish()
    assert caplog.text.count("The console shows the run no longer") == 1


def test_sync_has_nothing_to_do_for_the_console(home: Path) -> None:
    settings = Settings(home=home, sinks=("console",))
    with touchline.start_run("train", settings=settings) as run:
        run.log({"x": 1}, 1)
    assert touchline.sync(settings).complete
    assert list((run.directory / "delivery").glob("*")) == []


def test_a_table_shows_the_newest_step_whatever_comes_late(tmp_path: Path) -> None:
    from touchline.tracking.journal import Event

    info = RunInfo("r", "t", "r", "p", tmp_path, 0.0)
    session = ConsoleSink(Settings(home=tmp_path), io.StringIO()).open(info, 0, 0)
    session.send([Event(1, "metrics", 5, 0.0, {"x": 1}), Event(2, "metrics", 4, 0.0, {"x": 9, "y": "NaN"})])
    assert session.values["x"] == (5, 1.0)
    session.send([Event(3, "rewind", 4, 0.0, {})])
    assert "x" not in session.values


def test_a_sparkline_leaves_a_gap_for_what_is_no_number() -> None:
    assert sparkline([0.0, float("nan"), 1.0]) == "▁ █"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([float("inf")]) == ""
