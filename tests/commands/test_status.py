"""``touchline status`` and ``runs``: true states and figures, whatever the far sides do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from touchline.tracking.delivery import Refusal

from .conftest import begin, call, deliver, killed, record


def status_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert call(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("end", ["finished", "failed", "killed", "preempted"])
def test_a_run_that_said_how_it_ended_has_that_state(
    home: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    record(home, "r1", status=end)
    assert status_of(capsys, "status", "r1")[0]["state"] == end


def test_a_killed_process_is_told_from_a_living_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed(home, "dead", "run.log({'loss': 1.0}, 7)")
    with begin(home, "alive"):
        found = {run["id"]: run for run in status_of(capsys, "status")}
        assert (found["dead"]["state"], found["dead"]["last_step"]) == ("killed-cause-unknown", 7)
        assert (found["alive"]["state"], found["alive"]["ended"]) == ("running", None)


def test_a_resumed_run_is_running_again_and_its_last_step_is_that_of_the_newest_attempt(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(home, "r1", points=10)
    with begin(home, "r1", resume=4) as run:
        again = status_of(capsys, "status", "r1")[0]
        assert (again["state"], again["last_step"], again["attempts"]) == ("running", 4, 2)
        run.log({"loss": 0.5}, 5)
        assert run._writer.flush(10)
        assert status_of(capsys, "status", "r1")[0]["last_step"] == 5


def test_each_sink_is_told_with_what_waits_what_was_refused_and_how_late_it_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = record(home, "r1", points=10)
    deliver(directory, "mlflow", set_aside=(Refusal(3, "a bad name."),), slowest_seconds=2.5)
    deliver(directory, "wandb", upto=4, state="waiting", reason="There is no key.")
    time.sleep(0.05)
    mlflow, wandb = status_of(capsys, "status", "r1")[0]["sinks"]
    assert (mlflow["state"], mlflow["waiting"], mlflow["lag_seconds"]) == ("done", 0, 0)
    assert mlflow["set_aside"] == [{"seq": 3, "reason": "a bad name.", "events": 1}]
    assert mlflow["slowest_seconds"] == 2.5
    assert (wandb["delivered"], wandb["waiting"], wandb["missing"]) == (4, 8, [5, 12])
    assert wandb["lag_seconds"] > 0.05
    assert call("status") == 0
    shown = capsys.readouterr().out
    assert "wandb of run r1, last error: There is no key." in shown
    assert "mlflow set aside a part of run r1, which the journal keeps: a bad name (number 3)." in shown
    assert [line.split()[:5] for line in shown.splitlines()[1:3]] == [
        ["r1", "finished", "mlflow", "done", "12"],
        ["r1", "finished", "wandb", "waiting", "4"],
    ]


def test_a_damaged_journal_is_told_and_hides_no_other_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(home, "good")
    (record(home, "bad") / "journal.db").write_bytes(b"scrambled" * 1000)
    assert call("runs") == 0
    printed = capsys.readouterr()
    assert "good" in printed.out
    assert "cannot be read" in printed.err and "bad" in printed.err


def test_runs_are_listed_newest_start_first_and_as_many_as_wanted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in ("b", "c", "a"):
        record(home, run_id)
    record(home, "b")
    assert [run["id"] for run in status_of(capsys, "runs")] == ["b", "a", "c"]
    assert [run["id"] for run in status_of(capsys, "runs", "--limit", "2")] == ["b", "a"]
    assert call("runs", "--limit", "1") == 0
    assert "2 older runs are not shown" in capsys.readouterr().out
    assert call("runs", "--limit", "0") == 2


def test_a_name_cannot_change_the_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(home, "r1", name="red \x1b[31m\r\nnext").finish(timeout=5)
    assert call("runs") == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "red \\x1b[31m  next" in printed


def test_a_home_without_runs_is_a_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "runs"):
        assert call(command) == 0
        assert "has no runs yet" in capsys.readouterr().out
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    ["sync", "status", "runs", "show r1", "tail r1", "export r1", "gc --yes", "lineage ddpg_finetuned@Champion"],
)
def test_a_mistyped_home_is_refused_and_not_created(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*command.split(), "--home", str(tmp_path / "hmoe")) == 2
    assert "hmoe is not there" in capsys.readouterr().err
    assert not (tmp_path / "hmoe").exists()


def test_a_run_is_found_by_a_unique_beginning_and_as_the_last_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in ("20260102-train-aa11", "20260101-train-bb22", "20260101-train-bc33"):
        record(home, run_id)
    assert status_of(capsys, "status", "20260102")[0]["id"] == "20260102-train-aa11"
    for word in ("last", "--last"):
        assert status_of(capsys, "status", word)[0]["id"] == "20260101-train-bc33"
    assert call("show", "20260101-train-b") == 2
    assert "may be 20260101-train-bb22, 20260101-train-bc33" in capsys.readouterr().err
    assert call("export", "20260102-train-aa12") == 2
    assert "Did you mean '20260102-train-aa11'?" in capsys.readouterr().err
    assert call("tail") == 2
    assert "touchline tail last" in capsys.readouterr().err
