"""``touchline sync``: delivers, shows how it goes, and says what is missing where."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.testing.wandb_backend import API_KEY, wandb_backend
from touchline.tracking.status import gaps, read_status

from ..tracking.conftest import until
from .conftest import TOUCHLINE, begin, call, deliver, environment, record


def test_a_gap_names_run_sink_count_range_reason_and_remedy(home: Path) -> None:
    directory = record(home, "r1", points=10)
    deliver(directory, "wandb", upto=4, state="waiting", reason="W&B has no key.")
    deliver(directory, "mlflow", closed="", state="live")
    deliver(directory, "tensorboard")
    status = read_status(directory)
    assert gaps(status, ["wandb"]) == [
        "wandb lacks 8 events of run r1: numbers 5 to 12. W&B has no key. "
        "Send what is missing with: touchline sync r1"
    ]
    assert "has every event of run r1 but does not know how it ended" in gaps(status, ["mlflow"])[0]
    assert gaps(status, ["tensorboard"]) == []


def test_a_sink_that_lacks_something_makes_it_exit_with_1_and_the_others_are_served(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "wandb,tensorboard")
    directory = record(home, "r1")
    assert call("sync", "r1", "--timeout", "60") == 1
    printed = capsys.readouterr().out
    assert "wandb lacks 5 events of run r1: numbers 1 to 5." in printed
    assert "tensorboard lacks" not in printed
    assert list((directory / "tensorboard").iterdir())
    assert call("sync", "--all", "--sink", "tensorboard") == 0
    assert "Nothing is missing: tensorboard has all of 1 run." in capsys.readouterr().out


def test_what_a_sink_set_aside_is_told_but_is_no_gap(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "mlflow")
    with begin(home, "r1") as run:
        run.log({"a name! that MLflow refuses": 1.0, "fine": 2.0}, 1)
    assert call("sync", "--timeout", "120") == 0
    printed = capsys.readouterr().out
    assert (
        "mlflow set aside a part of run r1, which the journal keeps: a name! that MLflow refuses: Names may"
        in printed
    )
    assert "Nothing is missing but what was set aside: mlflow has all else of 1 run." in printed


def test_a_damaged_journal_is_a_gap_and_holds_up_no_other_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "tensorboard")
    (record(home, "bad") / "journal.db").write_bytes(b"scrambled" * 1000)
    record(home, "good")
    assert call("sync", "--timeout", "60") == 1
    assert "runs/bad/journal.db cannot be read" in capsys.readouterr().out
    assert is_done(Settings.load(), "good")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("r2",), "There is no run 'r2'"),
        (("r1", "--all"), "name none with it"),
        (("--sink", "wnadb"), "Did you mean 'wandb'?"),
        (("--timeout", "-1"), "at least 0"),
    ],
)
def test_wrong_arguments_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    record(home, "r1")
    assert call("sync", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (home / "couriers").exists()


def test_a_watch_delivers_what_comes_even_from_runs_that_start_later_until_ctrl_c(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "tensorboard")
    record(home, "first")
    watch = subprocess.Popen(
        [TOUCHLINE, "sync", "--watch"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    settings = Settings.load()
    try:
        until(lambda: is_done(settings, "first"), 60)
        assert watch.poll() is None
        record(home, "second")
        until(lambda: is_done(settings, "second"), 60)
        assert watch.poll() is None
    finally:
        watch.send_signal(signal.SIGINT)
        printed, errors = watch.communicate(timeout=300)
    assert (watch.returncode, errors) == (0, "")
    lines = printed.splitlines()
    for run_id in ("first", "second"):
        assert any(f"{run_id} tensorboard done, up to number 5, 0 waiting" in line for line in lines)
    assert lines[-1] == "Nothing is missing: tensorboard has all of 2 runs."


def test_a_watch_goes_on_when_a_far_side_comes_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "wandb")
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    with wandb_backend() as backend:
        monkeypatch.setenv("TOUCHLINE_WANDB_BASE_URL", backend.url)
        backend.fail_with = 503
        record(home, "r1")
        watch = subprocess.Popen(
            [TOUCHLINE, "sync", "--watch", "r1"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert watch.stdout is not None
            while " waiting, " not in (line := watch.stdout.readline()):
                assert line, "the watch ended"
            backend.fail_with = None
            settings = Settings.load()
            until(lambda: is_done(settings, "r1", "wandb"), 120)
        finally:
            watch.send_signal(signal.SIGINT)
            printed, _ = watch.communicate(timeout=300)
        assert watch.returncode == 0, printed
        assert [row["global_step"] for row in backend.runs["r1"].history] == [0, 1, 2]


def is_done(settings: Settings, run_id: str, sink: str = "tensorboard") -> bool:
    found = read_status(settings.run_directory(run_id)).sink(sink)
    return found is not None and found.state == "done"
