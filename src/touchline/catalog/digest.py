"""Digests of directories: the same files with the same contents give the same digest on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from touchline.errors import TouchlineError


def directory_digest(directory: Path | str) -> str:
    """Return the sha256 of all files below ``directory``: sorted relative paths and contents, as 64 hex digits.

    Times, permissions and empty directories do not count. Raises TouchlineError when there is no file.
    """
    directory = Path(directory)
    files = [path for path in directory.rglob("*") if path.is_file()]
    if not files:
        raise TouchlineError(
            f"The directory {directory} holds no files, so it has no digest. Give the one with the model's weights."
        )
    return files_digest(directory, files)


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """Return the sha256 over the given files, each named by its path relative to ``root``."""
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(root).as_posix(), path) for path in files):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        # Both parts have a fixed length, so no other set of names and contents gives the same stream.
        total.update(hashlib.sha256(name.encode()).digest() + content)
    return total.hexdigest()
