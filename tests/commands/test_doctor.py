"""``touchline doctor``: a table for a person, an object for a program, an exit code for a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from touchline.commands.doctor import plain, print_report
from touchline.jobs.setup import Check, Report

from .conftest import call

OK = Check("disk", "ok", "9 GiB free", figures={"free_bytes": 9.0})
LESS = Check("renderer", "degraded", "none [here]", "Install one.")
MISSING = Check("registry", "missing", "no right to create", "Ask for it.")


def test_this_machine_can_start_a_training(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = call("doctor", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (code, told["schema"], told["can_start"]) == (0, 1, True), told
    assert {check["level"] for check in told["checks"]} <= {"ok", "degraded"}
    for check in told["checks"]:
        assert list(check) == ["name", "level", "found", "remedy", "figures"]
    found = {check["name"]: check for check in told["checks"]}
    assert found["python"]["found"].startswith("3.")
    assert found["same device"]["level"] == "ok"


def test_the_object_has_every_check_with_its_remedy_and_figures() -> None:
    told = plain(Report((OK, MISSING)))
    assert told["can_start"] is False
    assert told["checks"] == [
        {"name": "disk", "level": "ok", "found": "9 GiB free", "remedy": "", "figures": {"free_bytes": 9.0}},
        {
            "name": "registry",
            "level": "missing",
            "found": "no right to create",
            "remedy": "Ask for it.",
            "figures": {},
        },
    ]


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((OK, LESS), "A training can start here."),
        ((OK, LESS, MISSING), "A training cannot start here until what is missing above is there."),
    ],
)
def test_the_table_tells_what_is_not_well_with_its_remedy_and_ends_with_the_verdict(
    checks: tuple[Check, ...], verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(Report(checks))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "ok disk 9 GiB free"
    assert lines[1:3] == ["less renderer none [here]", "Install one."]
    assert lines[-1] == verdict


def test_packages_that_are_well_share_a_row_and_one_that_is_not_has_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_report(
        Report(
            (Check("jax", "ok", "0.10.2"), Check("torch", "missing", "not installed"), Check("numpy", "ok", "2.4.6"))
        )
    )
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == ["ok packages jax 0.10.2, numpy 2.4.6", "missing torch not installed"]


def test_a_home_that_cannot_be_used_is_an_object_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "mlflow.db").write_bytes(b"scrambled" * 1000)
    assert call("doctor", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["can_start"] is False
    (check,) = told["checks"]
    assert (check["name"], check["level"]) == ("home", "missing")
    assert "mlflow.db is damaged" in check["found"]
