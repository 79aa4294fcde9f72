"""Where files lie, and how they come into place: network filesystems, and files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from touchline.errors import TouchlineError, UsageError

NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs",
     "pvfs2", "orangefs", "ocfs2", "gfs2", "davfs")
)  # fmt: skip
LOCAL_FUSE = frozenset(("fuseblk", "fuse.overlayfs", "fuse-overlayfs", "fuse.ntfs", "fuse.exfat"))


def filesystem_type(path: Path) -> str:
    """Name of the filesystem that ``path`` lies on, such as ext4 or nfs4; empty where it is not known."""
    path = path.resolve()
    mounts = {partition.mountpoint: partition.fstype for partition in psutil.disk_partitions(all=True)}
    for directory in (path, *path.parents):
        if str(directory) in mounts:
            return str(mounts[str(directory)])
    return ""


def is_network(kind: str) -> bool:
    """True for a filesystem that is shared between machines, FUSE mounts of object stores included."""
    return kind in NETWORK_TYPES or (kind.startswith("fuse") and kind not in LOCAL_FUSE)


def refuse_network_filesystem(directory: Path) -> None:
    """Raise TouchlineError where a journal could be damaged: SQLite's write-ahead log needs a local disk."""
    kind = filesystem_type(directory)
    if is_network(kind):
        raise TouchlineError(
            f"The run's directory {directory} is on a network filesystem ({kind}), where a journal can be damaged. "
            "Choose a local disk with TOUCHLINE_HOME=/local/path; checkpoints carry a copy of the journal, and they "
            "may lie on the network."
        )


@contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """Open ``target`` so that it appears complete; a device or a pipe is written to as it is.

    Raises UsageError when ``target`` cannot be a file, TouchlineError when it cannot be written.
    """
    target = target.resolve()
    if target.is_dir():
        raise UsageError(f"The output {target} is a directory. Name a file in it with --output.")
    if not target.parent.is_dir():
        raise UsageError(
            f"There is no directory {target.parent} for the output. Make it, or choose another --output."
        )
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    partial: Path | None = None
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".partial")
        partial = Path(name)
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(mode)
        partial.replace(target)
    except OSError as error:
        raise TouchlineError(
            f"{target} could not be written ({error.strerror or error}); nothing was changed there. "
            "Free some space or make the directory writable, or choose another --output."
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
