"""``touchline checkpoints``: what lies there, whether it is whole, and how to take it elsewhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from touchline.checkpoint import CheckpointStore

from .conftest import TOUCHLINE, call, environment, record

RETURNS = {100: 1.0, 200: 9.0, 300: 2.0, 400: 3.0}


def state(step: int) -> dict[str, Any]:
    return {"file": np.full(1_000, step, np.float32), "nested/name": {"x": np.full(3, step, ml_dtypes.bfloat16)}}


@pytest.fixture
def run(home: Path) -> str:
    """A run with three checkpoints: the best and the two newest."""
    directory = record(home, "r1")
    store = CheckpointStore(directory / "checkpoints", best_metric="return", config={"rate": 1e-3})
    for step, value in RETURNS.items():
        store.save(step, state(step), metrics={"return": value}, metadata={"note": "first try"})
    return "r1"


def directory_of(home: Path, step: int) -> Path:
    return home / "runs" / "r1" / "checkpoints" / f"step-{step:012d}"


def damage(home: Path, step: int) -> None:
    path = directory_of(home, step) / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert call("checkpoints", *arguments) == code
    return capsys.readouterr().out


def test_the_list_tells_what_each_one_is_and_why_it_stays(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "list", run).splitlines()
    assert lines[0].split() == ["step", "saved", "size", "metrics", "intact", "stays"]
    assert [line.split()[0] for line in lines[1:]] == ["200", "300", "400"]
    assert [line.split()[-3:] for line in lines[1:]] == [
        ["9", "yes", "best"],
        ["2", "yes", "newest"],
        ["3", "yes", "newest"],
    ]


def test_the_list_for_scripts_has_the_same(run: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "list", "last", "--json"))
    assert [(one["step"], one["intact"], one["stays"]) for one in found] == [
        (200, True, "best"),
        (300, True, "newest"),
        (400, True, "newest"),
    ]
    assert found[0]["metrics"] == {"return": 9.0}
    assert found[0]["path"] == str(directory_of(home, 200))
    sizes = sum(path.stat().st_size for path in directory_of(home, 200).iterdir() if path.name != "manifest.json")
    assert found[0]["bytes"] == sizes


def test_a_damaged_one_is_told_with_what_is_wrong(run: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(home, 400)
    text = printed(capsys, "list", run)
    assert "damaged" in text
    assert f"{directory_of(home, 400)}: state.safetensors has the sha256 digest" in text
    assert "damaged" not in printed(capsys, "list", run, "--no-verify")
    assert [one["intact"] for one in json.loads(printed(capsys, "list", run, "--json", "--no-verify"))] == [None] * 3


def test_verify_says_which_are_damaged_by_its_exit_code_too(
    run: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, "verify", run).count("is intact: 2 files") == 3
    damage(home, 300)
    lines = printed(capsys, "verify", run, code=1).splitlines()
    assert [line for line in lines if "is not intact" in line] == [lines[1]]
    assert "step-000000000300 is not intact: state.safetensors has the sha256" in lines[1]
    assert printed(capsys, "verify", run, "--step", "400").count("\n") == 1
    assert [one["intact"] for one in json.loads(printed(capsys, "verify", run, "--json", code=1))] == [
        True,
        False,
        True,
    ]


def test_prune_shows_first_and_keeps_the_newest_intact_ones(
    run: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home, 400)
    assert "2 checkpoints" in printed(capsys, "prune", run, "--keep-last", "1", "--dry-run")
    assert len(list(directory_of(home, 1).parent.iterdir())) == 3
    assert "Removed 2 checkpoints" in printed(capsys, "prune", run, "--keep-last", "1", "--yes")
    assert list(directory_of(home, 1).parent.iterdir()) == [directory_of(home, 300)]
    assert "nothing to remove" in printed(capsys, "prune", run, "--keep-last", "1", "--yes")


def test_prune_removes_nothing_where_none_is_intact(run: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (200, 300, 400):
        damage(home, step)
    printed(capsys, "prune", run, "--keep-last", "1", "--yes", code=1)
    assert len(list(directory_of(home, 1).parent.iterdir())) == 3


@pytest.mark.parametrize(("answer", "left"), [("y", 1), ("n", 3), ("", 3)])
def test_prune_asks_a_person(run: str, home: Path, answer: str, left: int) -> None:
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        [TOUCHLINE, "checkpoints", "prune", run, "--keep-last", "1"], stdin=other, stdout=other, env=environment()
    )
    os.write(terminal, f"{answer}\n".encode())
    assert process.wait(60) == 0
    os.close(terminal)
    os.close(other)
    assert len(list(directory_of(home, 1).parent.iterdir())) == left


@pytest.mark.parametrize("kind", ["safetensors", "npz"])
def test_the_arrays_go_into_one_file_with_the_rest_beside_it(
    run: str, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / f"weights.{kind}"
    printed(capsys, "export", run, str(target))
    arrays = load_file(target) if kind == "safetensors" else dict(np.load(target, allow_pickle=False))
    assert set(arrays) == {"file", "nested/name/x"}
    np.testing.assert_array_equal(arrays["file"], np.full(1_000, 400, np.float32))
    assert (arrays["nested/name/x"].reshape(-1).view(ml_dtypes.bfloat16) == 400).all()
    described = json.loads(target.with_suffix(".json").read_text())
    assert (described["step"], described["metrics"]) == (400, {"return": 3.0})
    assert described["metadata"] == {"note": "first try"}
    assert described["origin"]["config"] == {"rate": 1e-3}
    assert sorted(path.name for path in target.parent.iterdir()) == ["weights.json", f"weights.{kind}"]


def test_a_whole_copy_is_a_store_of_its_own(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "export", run, "--step", "200", str(tmp_path / "copy"))
    printed(capsys, "export", run, "--step", "300", str(tmp_path / "copy"))
    assert CheckpointStore(tmp_path / "copy").steps() == (200, 300)
    assert printed(capsys, "verify", str(tmp_path / "copy")).count("is intact") == 2


def test_export_takes_the_newest_intact_one_and_says_what_it_skipped(
    run: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(home, 400)
    assert call("checkpoints", "export", run, str(tmp_path / "w.npz")) == 0
    told = capsys.readouterr()
    assert "step 300" in told.out
    assert "step-000000000400 was skipped" in told.err
    assert call("checkpoints", "export", run, "--step", "400", str(tmp_path / "other.npz")) == 1
    assert not (tmp_path / "other.npz").exists()


@pytest.mark.parametrize("name", ["weights.npz", "weights.json"])
def test_nothing_is_overwritten(run: str, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    printed(capsys, "export", run, str(tmp_path / "weights.npz"), code=2)
    assert (tmp_path / name).read_text() == "mine"
    printed(capsys, "export", run, str(tmp_path / "copy"))
    printed(capsys, "export", run, str(tmp_path / "copy"), code=2)


def test_checkpoints_are_found_by_a_directory_and_by_an_address(
    run: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = directory_of(home, 1).parent
    for word in (str(place), f"file://{place}", os.path.relpath(place)):
        assert [one["step"] for one in json.loads(printed(capsys, "list", word, "--json"))] == [200, 300, 400]


def test_checkpoints_are_found_where_the_settings_send_those_of_jobs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(home, "r2")
    monkeypatch.setenv("TOUCHLINE_CHECKPOINTS", str(tmp_path / "shared"))
    for run_id in ("r2", "of-another-machine"):
        CheckpointStore(tmp_path / "shared" / run_id).save(7, state(7))
        assert [one["step"] for one in json.loads(printed(capsys, "list", run_id, "--json"))] == [7]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "usage: touchline checkpoints COMMAND RUN"),
        (["lst", "r1"], "Did you mean 'list'?"),
        (["list"], "Which run? Try: touchline checkpoints list last"),
        (["list", "r9"], "There is no run 'r9'"),
        (["list", "./nowhere"], "There is no directory nowhere"),
        (["list", "."], "There are no checkpoints in ."),
        (["verify", "r1", "--step", "7"], "has no checkpoint of step 7"),
        (["prune", "r1"], "How many stay?"),
        (["prune", "r1", "--keep-last", "1"], "Nobody can be asked here"),
        (["prune", "r1", "--keep-last", "0", "--yes"], "at least 1 checkpoint stays"),
        (["export", "r1"], "Where to?"),
    ],
)
def test_wrong_usage_is_told_with_the_remedy(
    run: str, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("checkpoints", *arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.out + captured.err


def test_a_metric_that_is_no_number_is_null_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CheckpointStore(tmp_path / "nan").save(1, state(1), metrics={"return": float("nan")})
    (one,) = json.loads(printed(capsys, "list", str(tmp_path / "nan"), "--json"), parse_constant=pytest.fail)
    assert one["metrics"] == {"return": None}


def test_the_last_run_is_the_last_that_saves(run: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(home, "r2-submit")
    assert f"/{run}/checkpoints/" in printed(capsys, "verify", "last")
