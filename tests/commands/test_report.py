"""``touchline report``: the page is written, kept with its run, and refuses what it cannot do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from touchline.tracking.journal import JournalReader
from touchline.tracking.status import read_status

from .conftest import begin, call, environment, record

pytest.importorskip("plotly", reason="plotly draws the curves: pip install 'touchline[report]'")


def test_a_report_is_written_and_logged_with_its_run_which_stays_ended(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = record(home, "r1")
    before = read_status(directory)
    assert call("report", "--last") == 0
    assert capsys.readouterr().out == "r1.html\n"
    page = Path("r1.html").read_text(encoding="utf-8")
    with JournalReader(directory / "journal.db") as journal:
        artifact, summary = journal.of_kind(["artifact", "summary"])
    assert artifact.payload["name"] == "report.html"
    assert (directory / artifact.payload["path"]).read_text(encoding="utf-8") == page
    assert summary.payload == {"report": "artifact r1-report.html"}
    after = read_status(directory)
    assert (after.state, after.ended, after.events) == ("finished", before.ended, before.events + 2)


def test_reports_of_a_killed_run_do_not_move_the_moment_when_it_ended(home: Path) -> None:
    """The ``touchline runs`` of a week later does not say that it took a week."""
    script = (
        "import os, signal, touchline\n"
        "run = touchline.start_run('train', run_id='r1', settings=touchline.Settings.load(sinks=(), capture=()))\n"
        "run.log({'loss': 1.0}, 1)\n"
        "assert run._writer.flush(10)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script], env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    before = read_status(home / "runs" / "r1")
    time.sleep(0.1)
    for _ in range(2):
        assert call("report", "r1", "--overwrite") == 0
    after = read_status(home / "runs" / "r1")
    assert after.events == before.events + 4
    assert (after.state, after.ended) == ("killed-cause-unknown", before.ended)


def test_a_page_that_is_there_is_replaced_only_when_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = record(home, "r1")
    target = Path("page.html")
    target.write_text("mine")
    assert call("report", "r1", "-o", "page.html") == 2
    assert "--overwrite" in capsys.readouterr().err and target.read_text() == "mine"
    assert call("report", "r1", "-o", "page.html", "--overwrite", "--file-only") == 0
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with JournalReader(directory / "journal.db") as journal:
        assert journal.of_kind(["artifact"]) == [], "nothing is logged with --file-only"


def test_a_run_that_goes_on_has_a_page_and_keeps_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = begin(home, "r1")
    try:
        run.log({"loss": 1.0}, 1)
        assert run._writer.flush(10)
        assert call("report", "r1") == 0
        assert "still being written, so the report is not kept with it" in capsys.readouterr().err
        assert "The run of train has been running for" in Path("r1.html").read_text(encoding="utf-8")
    finally:
        run.finish(timeout=5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("report",), "A report of what? Try: touchline report --last"),
        (("report", "r1", "--last"), "not both"),
        (("report", "r2"), "There is no run, pipeline or group 'r2'"),
        (("report", "r1", "-o", "nowhere/page.html"), "There is no directory"),
        (("report", "r1", "--home", "elsewhere"), "is not there"),
    ],
)
def test_what_cannot_be_reported_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    record(home, "r1")
    assert call(*arguments) == 2
    assert told in capsys.readouterr().err
