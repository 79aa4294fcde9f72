"""The list of a checkpoint's files with their sizes and digests, itself under a digest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from touchline.errors import TouchlineError

NAME = "manifest.json"
FORMAT = 2


class Damaged(TouchlineError):
    """A checkpoint whose files are not those that were written."""


class AnotherFormat(TouchlineError):
    """A checkpoint of a version of Touchline whose files this one does not know: whole, perhaps, and left alone."""


class Manifest(NamedTuple):
    """What a finished checkpoint says of itself."""

    about: Mapping[str, Any]
    """What can be known without reading the files: step, time, metrics, run."""
    files: Mapping[str, Mapping[str, Any]]
    """``bytes`` and ``sha256`` by name."""
    digest: str
    """sha256 of all of this, and so of the checkpoint."""

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(int(file["bytes"]) for file in self.files.values())


def write_manifest(directory: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of all files in ``directory``, after forcing them to the disk; and force it too."""
    files = {}
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            files[path.name] = {
                "bytes": path.stat().st_size,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
            os.fsync(file.fileno())
    body = {"format": FORMAT, "about": dict(about), "files": files}
    with (directory / NAME).open("wb") as file:
        file.write(_text(body))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def verify(directory: Path) -> Manifest:
    """Return the manifest; raise Damaged, with the first thing that is wrong, unless the files are as it says.

    Raises OSError when they cannot be read although they may be whole, and AnotherFormat.
    """
    try:
        return _verify(directory)
    except FileNotFoundError as error:
        missing = Path(error.filename or NAME).name
        told = "it has no manifest, so it was never finished" if missing == NAME else f"{missing} is missing"
        raise Damaged(told) from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Damaged(f"the disk cannot read it ({error.strerror})") from error


def _verify(directory: Path) -> Manifest:
    manifest = parse((directory / NAME).read_bytes())
    present = {path.name for path in directory.iterdir()} - {NAME}
    if present != set(manifest.files):
        found, named = ", ".join(sorted(present)) or "none", ", ".join(sorted(manifest.files))
        raise Damaged(f"it holds the files {found}, but its manifest names {named}")
    for name, expected in manifest.files.items():
        path = directory / name
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise Damaged(f"{name} has {size:,} bytes instead of {expected['bytes']:,}")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected["sha256"]:
            raise Damaged(f"{name} has the sha256 digest {found[:12]}… instead of {expected['sha256'][:12]}…")
    return manifest


def parse(text: bytes) -> Manifest:
    """Read a manifest; raise Damaged when it is not the one that was written, AnotherFormat when another version did.

    Not even a spelling that means the same is taken, such as 1E3 for 1e3: what differs in a bit is damaged.
    """
    try:
        body = json.loads(text)
        digest = body.pop("sha256")
        files, about, version = dict(body["files"]), dict(body["about"]), body["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"its manifest cannot be read ({type(error).__name__})") from error
    if digest != _digest(body) or (version == FORMAT and text != _text(body)):
        raise Damaged("its manifest does not match its own digest")
    if version != FORMAT:
        raise AnotherFormat(
            f"its format is {version}, and this version of Touchline reads {FORMAT}. Use the version that wrote it, "
            "or another directory"
        )
    if wrong := [name for name in files if Path(name).name != name or name == ".." or not name.isprintable()]:
        raise Damaged(f"its manifest names {wrong[0]!r}, which is not a file of its own")
    return Manifest(about, files, digest)


def sync_directory(directory: Path) -> None:
    """Force the directory's entries (names, renames) to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps({**body, "sha256": _digest(body)}).encode()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
