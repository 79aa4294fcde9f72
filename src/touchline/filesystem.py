"""Where files lie, and how they come into place: network filesystems, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from touchline.errors import TouchlineError, UsageError

NETWORK_TYPES = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs",
     "pvfs2", "orangefs", "ocfs2", "gfs2", "davfs")
)  # fmt: skip
PRIVATE = 0o700
"""Rights of a directory of the user alone."""
LOCAL_FUSE = frozenset(("fuseblk", "fuse.overlayfs", "fuse-overlayfs", "fuse.ntfs", "fuse.exfat"))


def filesystem_type(path: Path) -> str:
    """Name of the filesystem that ``path`` lies on, such as ext4 or nfs4; empty where it is not known."""
    import psutil

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


def make_private(directory: Path, *, exist_ok: bool = True) -> Path:
    """Make a directory, and those above it that are missing, for the user alone; one that is there stays as it is.

    Below a directory that a team shares on purpose (writable for its group, with the set-group-id bit, as after
    ``chmod 2770``), the group may do there what it may do above. Raises OSError when it cannot be made.
    """
    if exist_ok and directory.is_dir():
        return directory
    if not directory.parent.is_dir():
        make_private(directory.parent)
    mode = _rights_in(directory.parent)
    try:
        directory.mkdir(mode)
    except FileExistsError:
        if exist_ok and directory.is_dir():  # another process was quicker
            return directory
        raise
    if mode != PRIVATE:  # which the umask may have cut
        directory.chmod(mode | stat.S_ISGID)
    return directory


def make_alike(directory: Path) -> Path:
    """Make a directory, and those above it that are missing, no more open than the one that they are in."""
    if not directory.is_dir():
        make_alike(directory.parent)
        directory.mkdir(directory.parent.stat().st_mode & 0o777, exist_ok=True)
    return directory


def create_private(file: Path) -> Path:
    """Create an empty file for the user alone, or as ``make_private``; one that is there stays as it is."""
    mode = _rights_in(file.parent) & 0o666
    with contextlib.suppress(FileExistsError):
        number = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
        try:
            os.fchmod(number, mode)
        finally:
            os.close(number)
    return file


def write_private(file: Path, text: str) -> Path:
    """Write a text file for the user alone, or as ``make_private``; what is no text is replaced."""
    create_private(file).write_text(text, encoding="utf-8", errors="replace")
    return file


def close_to_others(path: Path) -> None:
    """Take a file, or a directory with all that is in it, from everyone but the user (or the team that shares it)."""
    mode = _rights_in(path.parent)
    for found in (path, *(path.rglob("*") if path.is_dir() else ())):
        if not found.is_symlink():
            found.chmod(found.stat().st_mode & (mode | stat.S_ISGID | stat.S_ISVTX))


def no_more_open(path: Path, than: Path) -> None:
    """Take from a directory and all in it the rights that the directory ``than`` does not give."""
    mode = than.stat().st_mode & 0o777
    for found in (path, *path.rglob("*")):
        if (before := found.stat().st_mode) & 0o777 & ~mode:
            found.chmod(before & (mode | 0o7000))


def is_inside(path: Path, directory: Path) -> bool:
    """Whether a path, its symbolic links followed, leads to ``directory`` or below."""
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, ValueError, RuntimeError):  # a loop of links, or a name with a NUL
        return False


def refuse_links_out(
    directory: Path,
    what: str,
    remedy: str = "It is not used: store it again, with the file itself in the place of the link.",
) -> None:
    """Raise TouchlineError when a symbolic link in a directory, fetched or to be copied, leads out of it."""
    for path in directory.rglob("*"):
        if path.is_symlink() and not is_inside(path, directory):
            raise TouchlineError(
                f"{what} holds the symbolic link {path.relative_to(directory)} to {path.readlink()}, which leads out "
                f"of it. {remedy}"
            )


def courier_mask(home: Path) -> int:
    """The umask of a process of ours that writes into ``home`` by the hands of other packages."""
    return 0o777 & ~_rights_in(home)


def _rights_in(directory: Path) -> int:
    """What a directory in ``directory`` gives: everything to the user, and to the group where that is on purpose."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return PRIVATE
    return PRIVATE | mode & 0o070 if mode & stat.S_ISGID and mode & stat.S_IWGRP else PRIVATE


@contextmanager
def whole_file(target: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """Open ``target`` so that it appears complete; a device or a pipe is written to as it is.

    A new file that is ``private`` is the user's alone; one that is replaced keeps its rights.

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
        new = 0o600 if private else 0o666 & ~_umask()
        mode = target.stat().st_mode & 0o777 if target.exists() else new
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
