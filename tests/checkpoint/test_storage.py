"""Checkpoints on a local disk, on a mounted volume that takes whole files, and in an object store."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from touchline.checkpoint import CheckpointStore, Damaged
from touchline.checkpoint.manifest import write_manifest
from touchline.checkpoint.storage import LocalDisk, Storage, WholeFiles, discard, storage_at
from touchline.errors import TouchlineError


@pytest.fixture(params=["local disk", "mounted volume", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An address of each kind; the volume's path has what an address would write in another way."""
    if request.param == "object store":
        yield "memory://bucket/my training"
        MemoryFileSystem.store.clear()
    else:
        yield {"local disk": str, "mounted volume": "file://{}".format}[request.param](tmp_path / "my é%20 volume")


@pytest.fixture
def storage(place: str, tmp_path: Path) -> Storage:
    return storage_at(place, tmp_path / "staging")


def state(step: int) -> dict[str, Any]:
    return {"weights": np.full(1_000, step, np.float32)}


def publish(storage: Storage, name: str, content: bytes = b"weights") -> None:
    staged = storage.stage()
    (staged / "weights").write_bytes(content)
    write_manifest(staged, {"step": 1})
    storage.publish(staged, name)
    discard(staged)


def test_the_kind_of_storage_follows_from_the_place(tmp_path: Path) -> None:
    assert isinstance(storage_at(tmp_path), LocalDisk)
    assert isinstance(storage_at("memory://bucket"), WholeFiles)
    volume = storage_at("/Volumes/main/default/training one")
    assert isinstance(volume, WholeFiles)
    assert volume.where("a") == "/Volumes/main/default/training one/a"


def test_a_path_on_a_network_filesystem_takes_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("touchline.checkpoint.storage.filesystem_type", lambda path: "nfs4")
    assert isinstance(storage_at(tmp_path), WholeFiles)


def test_what_is_published_is_there_whole_and_can_be_taken_away(storage: Storage) -> None:
    assert storage.names() == []
    for name in ("first", "second"):
        publish(storage, name, name.encode())
    assert sorted(storage.names()) == ["first", "second"]
    assert storage.manifest("first").files["weights"]["bytes"] == 5
    storage.check("first")
    with storage.fetch("second") as directory:
        assert (directory / "weights").read_bytes() == b"second"
    storage.delete("first")
    storage.delete("first")
    assert storage.names() == ["second"]


def test_a_directory_without_a_manifest_was_never_finished(storage: Storage) -> None:
    with pytest.raises(Damaged, match="never finished"):
        storage.manifest("absent")


def test_a_training_saves_and_goes_on_anywhere(place: str, tmp_path: Path) -> None:
    store = CheckpointStore(place, staging=tmp_path / "staging")
    for step in (1, 2, 3):
        store.save(step, state(step))
    again = CheckpointStore(place, staging=tmp_path / "staging")
    assert again.steps() == (2, 3)
    assert (again.restore_or(state(0))["weights"] == 3).all()
    assert again.step == 3
    assert not list((tmp_path / "staging").glob("*"))


def test_damage_anywhere_falls_back(place: str) -> None:
    store = CheckpointStore(place)
    for step in (1, 2):
        store.save(step, state(step))
    files, root = fsspec.core.url_to_fs(place)
    path = f"{root}/step-000000000002/state.safetensors"
    content = bytearray(files.cat_file(path))
    content[-1] ^= 1
    files.pipe_file(path, bytes(content))
    latest = store.latest()
    assert latest is not None
    assert latest.step == 1
    assert "sha256" in latest.skipped[0].reason


@pytest.mark.parametrize("broken", ["state.json", "state.safetensors", "manifest.json"])
@pytest.mark.parametrize("how", ["nothing", "half"])
def test_an_upload_that_breaks_is_not_there_and_is_swept_by_the_next(
    broken: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"memory://broken/{broken}-{how}"
    put = MemoryFileSystem.put_file

    def breaks(files: Any, source: str, target: str, **options: Any) -> None:
        if not target.endswith(broken):
            return put(files, source, target, **options)
        if how == "half":
            return files.pipe_file(target, Path(source).read_bytes()[: Path(source).stat().st_size // 2])
        raise RuntimeError("the connection was reset")

    store = CheckpointStore(place, staging=tmp_path)
    store.save(1, state(1))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", breaks)
        with pytest.raises(TouchlineError, match="connection was reset|arrived with"):
            store.save(2, state(2))
    latest = store.latest()
    assert latest is not None
    assert latest.step == 1
    store.save(3, state(3))
    assert store.steps() == (1, 3)
    assert not list(tmp_path.iterdir())


def test_what_else_lies_beside_the_checkpoints_stays(place: str) -> None:
    files, root = fsspec.core.url_to_fs(place)
    files.makedirs(f"{root}/videos", exist_ok=True)
    files.pipe_file(f"{root}/videos/first.mp4", b"film")
    store = CheckpointStore(place, keep_last=1)
    for step in (1, 2):
        store.save(step, state(step))
    assert files.cat_file(f"{root}/videos/first.mp4") == b"film"
    assert store.steps() == (2,)


def test_a_store_that_does_not_answer_is_no_reason_to_go_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore("memory://silent/training", staging=tmp_path)
    for step in (1, 2):
        store.save(step, state(step))

    def silent(*arguments: Any, **options: Any) -> None:
        raise TimeoutError("no answer within 60 s")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", silent)
        with pytest.raises(TouchlineError, match="step-000000000002 cannot be read now.*no answer.*Try again"):
            store.restore_or(state(0))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "ls", silent)
        with pytest.raises(TouchlineError, match="memory://silent/training cannot be read now"):
            store.restore_or(state(0))
    assert (store.restore_or(state(0))["weights"] == 2).all()


def test_an_address_that_nobody_knows_is_told() -> None:
    with pytest.raises(TouchlineError, match="cannot be kept at nothing://here: Protocol not known"):
        CheckpointStore("nothing://here")


def test_a_volume_keeps_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        CheckpointStore(f"file://{tmp_path}/volume").save(1, state(1))
    finally:
        os.umask(before)
    made = tmp_path / "volume" / "step-000000000001"
    assert stat.S_IMODE(made.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o640}


DYING = """
import os, sys
from pathlib import Path
from touchline.checkpoint.storage import storage_at
storage_at(sys.argv[1], Path(sys.argv[2])).stage()
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_staged_is_swept_and_what_a_living_one_stages_is_not(
    place: str, storage: Storage, tmp_path: Path
) -> None:
    done = subprocess.run([sys.executable, "-c", DYING, place, str(tmp_path / "staging")])
    assert done.returncode == -9
    mine = storage.stage()
    assert len(list(mine.parent.iterdir())) == 2
    storage.sweep()
    assert list(mine.parent.iterdir()) == [mine]


def test_a_process_with_the_number_of_a_killed_one_sweeps_too(storage: Storage) -> None:
    left = storage.stage()
    discard(left)
    left.mkdir()  # as a training left it that had this very process number, in a container before a restart
    storage.sweep()
    assert not left.exists()


def test_a_checkpoint_that_is_read_is_not_swept_by_a_save(tmp_path: Path) -> None:
    store = CheckpointStore(f"file://{tmp_path}/volume", staging=tmp_path / "staging")
    store.save(1, state(1))
    latest = store.latest()
    assert latest is not None
    with store.files_of(latest) as files:
        store.save(2, state(2))
        assert (files / "manifest.json").exists()


def test_a_removal_that_is_cut_short_leaves_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = LocalDisk(tmp_path)
    publish(disk, "step-000000000001")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *arguments, **options: None)
        disk.delete("step-000000000001")
    assert disk.names() == []
    disk.sweep()
    assert not list(tmp_path.iterdir())


def test_a_volume_is_written_as_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    put = LocalFileSystem.put_file

    def whole(files: Any, source: str, target: str, **options: Any) -> None:
        written.append(Path(target).name)
        put(files, source, target, **options)

    monkeypatch.setattr(LocalFileSystem, "put_file", whole)
    CheckpointStore(f"file://{tmp_path}/volume").save(1, state(1))
    assert written == ["state.json", "state.safetensors", "manifest.json"]
