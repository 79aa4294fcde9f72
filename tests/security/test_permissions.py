"""Files of a run are the user's alone, unless somebody shared the home on purpose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from touchline.checkpoint import CheckpointStore
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import close_to_others, create_private, make_private, write_private
from touchline.tracking.start import start_run


@pytest.fixture(autouse=True, params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing here may depend on it."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Rights of a file, with the bits beyond."""
    return stat.S_IMODE(path.stat().st_mode)


def a_run(home: Path) -> Path:
    """The directory of a run with files of several kinds."""
    with start_run("train", settings=Settings(home=home, sinks=(), capture=())) as run:
        run.log_image(np.zeros((4, 4, 3), np.uint8), "picture")
        folder = home / "folder"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "tool.sh").write_text("#!/bin/sh\n")
        (folder / "inner" / "tool.sh").chmod(0o755)
        run.log_artifact(folder)
        run.log({"loss": 1.0}, 1)
    return run.directory


def test_a_home_that_touchline_makes_is_the_users_alone(tmp_path: Path) -> None:
    directory = a_run(tmp_path / "new" / "home")
    assert mode(tmp_path / "new" / "home") == mode(directory.parent) == mode(directory) == 0o700
    assert mode(directory / "journal.db") == 0o600
    assert [path for path in directory.rglob("*") if mode(path) & 0o077] == []
    (tool,) = directory.rglob("tool.sh")
    assert mode(tool) == 0o600


def test_a_home_that_exists_keeps_its_mode_and_its_runs_are_private_all_the_same(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    directory = a_run(home)
    assert mode(home) == 0o755
    assert mode(directory) == 0o700 and mode(directory / "journal.db") == 0o600


def test_a_home_that_is_shared_on_purpose_stays_shared(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2770)
    directory = a_run(home)
    assert mode(home) == mode(home / "runs") == mode(directory) == 0o2770
    assert mode(directory / "journal.db") == 0o660
    assert {mode(path) & 0o007 for path in directory.rglob("*")} == {0}


def test_what_is_there_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    write_private(file, "new")
    assert file.read_text() == "new" and mode(create_private(file)) == 0o640


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        make_private(tmp_path / "file")
    with pytest.raises(FileExistsError):
        make_private(make_private(tmp_path / "twice"), exist_ok=False)


def test_a_link_is_left_alone_where_rights_are_taken(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    inside = make_private(tmp_path / "inside")
    (inside / "link").symlink_to(outside)
    close_to_others(inside)
    assert mode(outside) == 0o644


def test_checkpoints_are_no_more_open_than_their_directory(tmp_path: Path) -> None:
    for rights in (0o700, 0o750):
        place = tmp_path / oct(rights)
        place.mkdir()
        place.chmod(rights)
        CheckpointStore(place / "inner").save(1, {"weights": np.zeros(3)})
        assert {mode(path) & 0o777 & ~rights for path in place.rglob("*")} == {0}


def test_a_staging_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = tmp_path / f"touchline-{os.getuid()}"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(TouchlineError, match="is not yours alone"):
        CheckpointStore("memory://checkpoints")
