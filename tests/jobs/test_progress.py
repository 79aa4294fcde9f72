"""The progress display: a live one on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys

import pytest

from touchline.jobs.progress import History, Pace, clock, number, position, progress

SCRIPT = """
import time
from touchline.jobs.progress import progress
with progress("pretrain", 1000, "transitions") as bar:
    for step in range(0, 1001, 100):
        bar.update(step, episode_reward=step / 100, critic_loss=0.5)
        time.sleep(0.1)
    bar.event("a checkpoint at 1,000")
"""


def test_a_log_gets_few_whole_lines_without_control_characters() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert 2 < len(lines) < 6
    assert all(line.startswith("pretrain: ") for line in lines)
    assert "\x1b" not in done.stdout
    assert "a checkpoint at 1,000" in done.stdout
    assert "100% · 1,000/1,000 transitions" in lines[-1]
    assert "episode_reward 10 · critic_loss 0.5" in lines[-1]


def test_a_terminal_gets_a_bar_and_a_sparkline() -> None:
    primary, secondary = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=secondary, env=environment)
    os.close(secondary)
    seen = b""
    try:
        while chunk := os.read(primary, 4096):
            seen += chunk
    except OSError:
        pass  # the other end is closed: the process has ended
    os.close(primary)
    assert process.wait() == 0
    text = seen.decode()
    assert "\x1b[" in text
    assert "━" in text
    assert "▁" in text
    assert "█" in text
    assert "a checkpoint at 1,000" in text


def test_an_alert_of_another_thread_stands_above_the_bar_in_a_line_of_its_own() -> None:
    code = """
import logging, threading, time
from touchline.jobs.progress import progress
with progress("pretrain", 1_000, "steps") as bar:
    bar.update(500)
    time.sleep(0.6)
    told = threading.Thread(target=logging.getLogger("touchline").error, args=("Alert: GPU is lost.",))
    told.start()
    told.join()
    bar.update(1_000)
"""
    primary, secondary = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=secondary, stdout=secondary, stderr=secondary, env=environment
    )
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal of a process that has ended
        while piece := os.read(primary, 4096):
            shown += piece
    os.close(primary)
    assert process.wait() == 0
    assert re.search(r"(?:\x1b\[2K|\r|\n)Alert: GPU is lost\.\s*\r\n", shown.decode()), shown


def test_an_error_in_the_job_passes_through_after_the_last_position() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="flat"), progress("toy", 10, to=stream) as bar:
        bar.update(1)
        bar.update(7)
        raise ValueError("the ball is flat")
    assert "7/10 steps" in stream.getvalue().splitlines()[-1]


def test_a_job_without_steps_prints_nothing() -> None:
    stream = io.StringIO()
    with progress("toy", 10, to=stream):
        pass
    assert stream.getvalue() == ""


def test_a_resumed_job_does_not_count_the_steps_before() -> None:
    pace = Pace(1_000_000)
    pace.move(900_000)
    assert pace.rate is None
    pace.move(900_001)
    assert pace.rate is not None
    assert pace.step == 900_001


def test_an_unknown_total_has_neither_share_nor_time_left() -> None:
    pace = Pace(None)
    pace.move(5)
    assert position(pace, "episodes").startswith("5 episodes · ")
    assert pace.left is None


def test_a_long_history_keeps_its_shape_in_bounded_room() -> None:
    history = History(width=10)
    for step in range(10_000):
        history.add(float(step))
    line = history.sparkline()
    assert len(line) <= 10
    assert line[0] == "▁"
    assert line[-1] in "▇█"
    assert list(line) == sorted(line)


def test_a_history_survives_what_is_no_number() -> None:
    history = History()
    for value in (1.0, float("nan"), 2.0):
        history.add(value)
    assert history.sparkline() == "▁█"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (1234567, "1,234,567"), (0.123456, "0.1235"), (12345.6, "12,346"), (float("nan"), "nan")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (61, "1:01"), (3_725, "1:02:05")])
def test_durations_read_as_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
