"""Is a directory on a local disk? SQLite's write-ahead log is not safe on a network filesystem."""

from __future__ import annotations

from pathlib import Path

import psutil

from touchline.errors import TouchlineError

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
    """Raise TouchlineError when a journal in ``directory`` could be damaged."""
    kind = filesystem_type(directory)
    if is_network(kind):
        raise TouchlineError(
            f"The run's directory {directory} is on a network filesystem ({kind}), where a journal can be damaged. "
            "Choose a local disk with TOUCHLINE_HOME=/local/path; checkpoints carry a copy of the journal, and they "
            "may lie on the network."
        )
