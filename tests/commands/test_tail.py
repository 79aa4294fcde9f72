"""``touchline tail``: a journal's last events as lines, followed to the run's end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import TOUCHLINE, begin, call, environment, killed, record


def follow(run_id: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TOUCHLINE, "tail", run_id, "-f", "-n", "1"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_last_events_are_lines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(home, "r1", points=50)
    assert call("tail", "r1", "--lines", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "step 48  loss=0.0204082",
        "step 49  loss=0.02",
        "ended: finished",
    ]


def test_more_lines_than_there_are_shows_all_and_each_kind_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("x")
    with begin(home, "r1", config={"lr": 0.1}) as run:
        run.log({"loss": float("nan")}, 1)
        run.log_artifact(tmp_path / "report.html", "reports/final.html")
        run.log_histogram("weights", [1.0, 2.0, 3.0], step=1)
        run.log_table("scores", ["name", "score"], [["a", 1]], step=1)
        run.alert("Low \x1b[31m", "really\nlow", "error")
        run.save_journal(tmp_path, 1)
    with begin(home, "r1", resume=0):
        pass
    assert call("tail", "r1", "-n", "1000") == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for part in (
        "started train by process",
        "lr=0.1",
        "step 1  loss=NaN",
        "artifact reports/final.html",
        "histogram weights  step 1  3 values from 1 to 3",
        "table scores  step 1  1 rows",
        "ALERT (error): Low \\x1b[31m. really low",
        "checkpoint  step 1",
        "went back to step 0 from step 1",
        "resumed train",
        "ended: finished",
    ):
        assert part in printed, part


def test_a_run_is_followed_to_its_end(home: Path) -> None:
    run = begin(home, "r1")
    process = follow("r1")
    assert process.stdout is not None
    assert "started train" in process.stdout.readline()
    run.log({"loss": 0.5}, 12)
    assert "step 12  loss=0.5" in process.stdout.readline()
    run.finish("preempted", timeout=5, reason="The spot machine goes.")
    rest, errors = process.communicate(timeout=300)
    assert "ended: preempted, The spot machine goes." in rest
    assert rest.splitlines()[-1] == "The run r1 is over: preempted."
    assert (process.returncode, errors) == (0, "")


def test_following_a_run_whose_process_is_gone_ends_by_itself(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed(home, "r1", "run.log({'loss': 1.0}, 3)")
    assert call("tail", "r1", "--follow") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "The run r1 is over: killed-cause-unknown."


def test_ctrl_c_ends_the_following_without_a_traceback(home: Path) -> None:
    with begin(home, "r1"):
        process = follow("r1")
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors == "touchline: Interrupted.\n"


@pytest.mark.parametrize("command", [["tail", "r1", "-n", "100000"], ["export", "r1", "-o", "-"], ["runs"]])
def test_a_reader_that_goes_away_is_no_traceback(home: Path, command: list[str]) -> None:
    record(home, "r1", points=20_000)
    process = subprocess.Popen(
        [TOUCHLINE, *command], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1
