"""A checkpoint's files are those that were written, to the bit, or it is damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from touchline.checkpoint.manifest import NAME, AnotherFormat, Damaged, parse, verify, write_manifest

ABOUT = {"step": 1, "metrics": {"réturn": 1e-05, "odd": float("nan")}, "run": "r1"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(bytes(range(200)))
    (tmp_path / "empty").write_bytes(b"")
    write_manifest(tmp_path, ABOUT)
    return tmp_path


def test_what_was_written_verifies_and_tells_of_itself(written: Path) -> None:
    manifest = verify(written)
    assert (manifest.about["step"], manifest.about["run"], manifest.size) == (1, "r1", 200)
    assert set(manifest.files) == {"weights", "empty"}


def test_every_single_bit_of_a_manifest_counts(written: Path) -> None:
    text = (written / NAME).read_bytes()
    for place in range(len(text)):
        for bit in range(8):
            flipped = bytearray(text)
            flipped[place] ^= 1 << bit
            with pytest.raises(Damaged):
                parse(bytes(flipped))


def test_every_truncated_manifest_is_damaged(written: Path) -> None:
    text = (written / NAME).read_bytes()
    for length in range(len(text)):
        with pytest.raises(Damaged):
            parse(text[:length])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "weights").write_bytes(b"x" * 200), r"weights has the sha256 digest .*… instead of"),
        (lambda path: os.truncate(path / "weights", 7), "weights has 7 bytes instead of 200"),
        (lambda path: (path / "weights").unlink(), "it holds the files empty, but its manifest names empty, weights"),
        (lambda path: (path / "more").touch(), "it holds the files empty, more, weights, but"),
        (lambda path: (path / NAME).unlink(), "it has no manifest, so it was never finished"),
        (lambda path: (path / NAME).write_text("[]"), r"its manifest cannot be read \(TypeError\)"),
    ],
    ids=["changed", "shortened", "missing", "another", "unfinished", "no manifest"],
)
def test_damage_is_told_with_the_file(written: Path, damage: object, told: str) -> None:
    damage(written)  # type: ignore[operator]
    with pytest.raises(Damaged, match=told):
        verify(written)


def test_a_manifest_names_no_file_outside_of_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "name", "../weights")
        write_manifest(tmp_path, ABOUT)
    with pytest.raises(Damaged, match=r"names '\.\./weights', which is not a file of its own"):
        verify(tmp_path)


def test_another_format_is_not_called_damaged(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("touchline.checkpoint.manifest.FORMAT", 3)
    with pytest.raises(AnotherFormat, match="its format is 2, and this version of Touchline reads 3"):
        verify(written)


def test_a_disk_error_is_damage_and_a_refusal_is_none(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> None:
        def read(path: Path) -> bytes:
            raise OSError(number, os.strerror(number), str(path))

        monkeypatch.setattr(Path, "read_bytes", read)

    fail(errno.EIO)
    with pytest.raises(Damaged, match=r"the disk cannot read it \(Input/output error\)"):
        verify(written)
    fail(errno.EACCES)
    with pytest.raises(PermissionError):
        verify(written)
