"""``touchline tune`` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tracking.conftest import home, no_account  # noqa: F401
from touchline.cli import main
from touchline.tuning import StudyStorage
from touchline.tuning.storage import default_url


def climb(home: Path, *more: str) -> int:  # noqa: F811
    options = ("--home", str(home), "--space", "x=-1:1", "--space", "y=-1:1", "--study", "hill", "--pruner", "none")
    return main(["tune", "tests.tuning.hill:climb", *options, *more])


def test_a_study_can_be_run_continued_looked_at_and_plotted(
    home: Path,  # noqa: F811
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    assert climb(home, "--trials", "2", "--workers", "2", "--finalists", "0") == 0
    assert "Study hill: 2 complete." in capfd.readouterr().out
    assert climb(home, "--trials", "4", "--workers", "2", "--finalists", "1") == 0
    told = capfd.readouterr().out
    assert "It has 2 finished trials; the goal is 4." in told
    assert "Winner: trial " in told

    assert main(["tune", "status", "--home", str(home)]) == 0
    told = capfd.readouterr().out
    assert "hill: 4 of 4 finished" in told and "Best: trial " in told and "Winner on other seeds" in told
    assert main(["tune", "status", "hi", "--json", "--home", str(home)]) == 0
    (status,) = json.loads(capfd.readouterr().out)
    assert (status["finished"], status["target"], status["seconds_left"]) == (4, 4, 0.0)
    assert sum(status["importance"].values()) == pytest.approx(1.0)

    page = tmp_path / "hill.html"
    assert main(["tune", "show", "-o", str(page), "--home", str(home)]) == 0
    text = page.read_text()
    assert text.count("<h2>") >= 6 and '<script src="http' not in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pretrain", "--space", "sac.gama=0.9:1"), "Did you mean 'sac.gamma'"),
        (("pretrain", "--space", "sac.gamma=0.9"), "is no range"),
        (("pretrain", "--pruner", "medain"), "Did you mean 'median'"),
        (("pretrain", "--sampler", "tpo"), "Did you mean 'tpe'"),
        (("pretrain", "--storage", "mysql://x"), "SQLite or PostgreSQL"),
        (("pretrain", "--trials", "0"), "--trials is 0. Give at least 1"),
        (("pretrain", "--study", ""), "name is empty"),
        (("pretrain", "--space", "sac.tau=0.1:0.2", "--set", "sac.tau=0.1"), "sac.tau is tuned, and --set"),
        (("convert", "--space", "tolerance=1e-6:1e-5"), "no objective to tune. Those that have one are pretrain and"),
        (("tests.tuning.hill:climb",), "such as --space gear.weight=log:0.1:10"),
        (("tests.tuning.hill:climb", "--recipe", "walker"), "'walker' has no values for tests.tuning.hill:climb"),
        (("pretrain", "--space-file", "/dev/null"), "/dev/null names no field"),
        (("pretrian",), "Did you mean 'pretrain'"),
        (("status",), "no studies in"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_starts(
    arguments: tuple[str, ...],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tune", *arguments, "--home", str(tmp_path / "home")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "home" / "runs").exists()
    assert not StudyStorage(default_url(tmp_path / "home")).exists
