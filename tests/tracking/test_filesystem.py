"""A journal is refused where other machines could write it too, and nowhere else."""

from __future__ import annotations

import subprocess
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import touchline
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import filesystem_type, is_network

Mount = namedtuple("Mount", "device mountpoint fstype opts")

CONTAINER = [
    Mount("overlay", "/", "overlay", "rw,lowerdir=/var/lib/docker"),
    Mount("tmpfs", "/dev/shm", "tmpfs", "rw"),
    Mount("/dev/nvme0n1p1", "/etc/hosts", "ext4", "rw"),
]
DATABRICKS = [
    Mount("/dev/xvdb", "/", "ext4", "rw"),
    Mount("/dev/mapper/vg-lv", "/local_disk0", "ext4", "rw"),
    Mount("dbfs", "/dbfs", "fuse", "rw,nosuid,nodev"),
    Mount("Volumes", "/Volumes", "fuse.wsfs", "rw"),
    Mount("Workspace", "/Workspace", "fuse.wsfs", "rw"),
]
CLUSTER = [
    Mount("/dev/sda2", "/", "xfs", "rw"),
    Mount("filer:/home", "/home", "nfs4", "rw,vers=4.2"),
    Mount("10.0.0.1@o2ib:/scratch", "/scratch", "lustre", "rw"),
    Mount("/dev/nvme0n1", "/scratch/local", "xfs", "rw"),
    Mount("systemd-1", "/projects", "autofs", "rw"),
    Mount("filer:/projects", "/projects", "nfs", "rw"),
    Mount("/dev/loop3", "/mnt/image", "ext4", "rw"),
    Mount("gcsfuse", "/mnt/bucket", "fuse.gcsfuse", "rw"),
    Mount("/dev/sdb1", "/media/disk", "fuseblk", "rw"),
    Mount("me@host:/", "/mnt/far", "fuse.sshfs", "rw"),
    Mount("//filer/share", "/mnt/share", "cifs", "rw"),
    Mount("/dev/sdc", "/mnt/with space", "ext4", "rw"),
]


@pytest.mark.parametrize(
    ("mounts", "path", "network"),
    [
        (CONTAINER, "/work/.touchline", False),
        (CONTAINER, "/dev/shm/x", False),
        (DATABRICKS, "/local_disk0/home", False),
        (DATABRICKS, "/tmp/home", False),
        (DATABRICKS, "/dbfs/home", True),
        (DATABRICKS, "/Volumes/main/default/v/home", True),
        (DATABRICKS, "/Workspace/Users/me", True),
        (CLUSTER, "/home/me/.touchline", True),
        (CLUSTER, "/homeless", False),
        (CLUSTER, "/scratch/me", True),
        (CLUSTER, "/scratch/local/me", False),
        (CLUSTER, "/projects/p", True),
        (CLUSTER, "/mnt/image/x", False),
        (CLUSTER, "/mnt/bucket/x", True),
        (CLUSTER, "/media/disk/x", False),
        (CLUSTER, "/mnt/far/x", True),
        (CLUSTER, "/mnt/share/x", True),
        (CLUSTER, "/mnt/with space/x", False),
        ([], "/anywhere", False),
    ],
)
def test_a_mount_table_tells_network_disks_from_local_ones(
    monkeypatch: pytest.MonkeyPatch, mounts: list[Mount], path: str, network: bool
) -> None:
    # Mounts of a network cannot be made on the machine that runs this.
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert is_network(filesystem_type(Path(path))) is network


def test_a_home_on_a_network_disk_is_refused_with_the_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [Mount("filer:/", str(home), "nfs4", "rw")])
    with pytest.raises(TouchlineError, match=r"network filesystem \(nfs4\).*TOUCHLINE_HOME=/local/path"):
        touchline.start_run("train", settings=Settings(home=home, sinks=()), run_id="r1")
    assert not (home / "runs" / "r1" / "journal.db").exists()


def test_a_link_to_a_network_disk_is_followed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "link"
    link.symlink_to(home)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [Mount("filer:/", str(home), "nfs4", "rw")])
    assert filesystem_type(link / "runs") == "nfs4"


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Path]:
    """A real ext4 image, mounted through a loop device where that is permitted."""
    image, place = tmp_path / "image", tmp_path / "with space"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(32 * 2**20)
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(place)]):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"{command[0]} is not permitted here: {error}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_loopback_image_is_local_and_takes_a_run(loopback: Path) -> None:
    assert filesystem_type(loopback / "home") == "ext4"
    run = touchline.start_run("train", settings=Settings(home=loopback / "home", sinks=(), capture=()))
    run.log({"x": 1.0}, 1)
    assert run.finish().complete
