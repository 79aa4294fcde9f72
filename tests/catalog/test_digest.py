import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.catalog import directory_digest
from touchline.errors import TouchlineError

FILES = {"policy.json": b"{}", "weights/policy.safetensors": b"\x00\x01"}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def test_the_same_files_have_the_same_digest_wherever_and_whenever_they_were_written(tmp_path):
    here = write(tmp_path / "here", FILES)
    there = write(tmp_path / "there", dict(reversed(FILES.items())))
    os.utime(there / "policy.json", (0, 0))
    (there / "policy.json").chmod(0o600)
    assert directory_digest(here) == directory_digest(there)
    assert len(directory_digest(here)) == 64


def test_a_renamed_file_changes_the_digest(tmp_path):
    here = write(tmp_path / "here", {"a": b"x"})
    there = write(tmp_path / "there", {"b": b"x"})
    assert directory_digest(here) != directory_digest(there)


def test_contents_that_move_between_files_change_the_digest(tmp_path):
    here = write(tmp_path / "here", {"a": b"xy", "b": b"z"})
    there = write(tmp_path / "there", {"a": b"x", "b": b"yz"})
    assert directory_digest(here) != directory_digest(there)


@given(position=st.integers(0, 63), bit=st.integers(0, 7))
def test_any_flipped_bit_changes_the_digest(tmp_path_factory, position, bit):
    directory = write(tmp_path_factory.mktemp("flip"), {"weights": bytes(64)})
    before = directory_digest(directory)
    content = bytearray(64)
    content[position] ^= 1 << bit
    (directory / "weights").write_bytes(content)
    assert directory_digest(directory) != before


def test_an_empty_directory_has_no_digest(tmp_path):
    with pytest.raises(TouchlineError, match="holds no files"):
        directory_digest(tmp_path)
