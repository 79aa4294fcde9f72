"""A checkpoint says which configuration and which code made it, and what of that is another today."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from touchline import __version__
from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.origin import Origin, Refused, differences, origin


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 1e-3
    limit: float = float("nan")


@dataclasses.dataclass(frozen=True)
class Config:
    inner: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)
    place: Path = Path("data")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script in a git repository of its own."""
    path = tmp_path / "repository" / "train.py"
    path.parent.mkdir()
    path.write_text("rate = 1\n")
    git(path, "init", "-q")
    git(path, "add", ".")
    git(path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    return path


def git(path: Path, *command: str) -> None:
    subprocess.run(["git", "-C", str(path.parent), *command], check=True, capture_output=True)


def through_json(one: Origin) -> Origin:
    return Origin.of(json.loads(json.dumps(one.to_mapping())))


def test_the_same_configuration_is_the_same_after_a_round_trip() -> None:
    assert differences(through_json(origin(Config())), origin(Config())) == []
    assert differences(through_json(origin({1: (2, 3)})), origin({1: (2, 3)})) == []


def test_what_differs_is_told_by_its_name() -> None:
    saved = through_json(origin({"rate": 1, "old": True, "net": {"sizes": [1]}}))
    assert differences(saved, origin({"rate": 2, "net": {"sizes": [1], "bias": False}})) == [
        "rate: 1 → 2",
        "old: True → (absent)",
        "net.bias: (absent) → False",
    ]


def test_what_one_of_the_two_does_not_tell_is_no_difference() -> None:
    assert differences(origin(None), origin({"rate": 1})) == []
    assert differences(Origin(code={"commit": "a"}), Origin(code={"touchline": "1"})) == []


def test_the_code_is_known_by_its_commit_and_its_changes(script: Path) -> None:
    clean = origin(beside=script)
    assert set(clean.code) == {"touchline", "commit", "changes"}
    assert (clean.code["touchline"], clean.code["changes"]) == (__version__, "none")
    script.write_text("rate = 2\n")
    (told,) = differences(clean, origin(beside=script))
    assert told.startswith("code.changes: none → ")
    git(script, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "second")
    (told,) = differences(clean, origin(beside=script))
    assert told.startswith(f"code.commit: {clean.code['commit']} → ")


def test_code_outside_of_a_repository_has_the_version_alone(tmp_path: Path, script: Path) -> None:
    alone = tmp_path / "train.py"
    alone.touch()
    untracked = script.with_name("other.py")
    untracked.touch()
    assert set(origin(beside=alone).code) == set(origin(beside=untracked).code) == {"touchline"}


def test_a_checkpoint_of_other_code_is_refused(script: Path, tmp_path: Path) -> None:
    CheckpointStore(tmp_path / "store", made_by=script).save(1, {"step": 1})
    script.write_text("rate = 2\n")
    with pytest.raises(Refused, match=r"was made otherwise: code.changes: none → \w{12}.*allow_changes"):
        CheckpointStore(tmp_path / "store", made_by=script).restore_or({"step": 0})


def test_the_code_is_that_of_the_start_and_not_of_the_first_save(script: Path, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "store", made_by=script)
    store.restore_or({"step": 0})
    script.write_text("rate = 2\n")
    store.save(1, {"step": 1})
    latest = store.latest()
    assert latest is not None
    assert latest.loaded.origin.code["changes"] == "none"
