"""Real faults: small disks, disks that turn read-only, and the fixtures of the tracking tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.conftest import backend, home, no_account, no_trainer_stays, settings  # noqa: F401
from touchline.config import Settings


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own, where mounting is permitted."""
    yield from _disk(tmp_path / "disk", 8)


@pytest.fixture
def checkpoint_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 MB of its own, of which a save leaves some to others."""
    yield from _disk(tmp_path / "checkpoint-disk", 100)


def _disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir()
    _permitted("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take every byte that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"\0" * 4_096)
    return filler


class Ext4Disk:
    """A disk image of 32 MB, mounted through a loop device, that can be made to fail as a broken disk does."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        with image.open("wb") as file:
            file.truncate(32 * 2**20)
        _permitted("mkfs.ext4", "-q", str(image))
        self._mount()

    def _mount(self) -> None:
        _permitted("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.place))

    def break_it(self) -> None:
        """Let the kernel meet an error of this filesystem, upon which it turns read-only."""
        source = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.place)], capture_output=True, text=True, check=True
        ).stdout.strip()
        Path("/sys/fs/ext4", Path(source).name, "trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """Check the disk and mount it again, as a person would after a reboot."""
        self.unmount()
        subprocess.run(["fsck.ext4", "-fy", str(self.image)], capture_output=True)
        self._mount()

    def unmount(self) -> None:
        """Take the disk away, whoever has files open there."""
        subprocess.run(["umount", "-l", str(self.place)], check=True)


def _permitted(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{command[0]} is not permitted here: {error}")


@pytest.fixture
def ext4_disk(tmp_path: Path) -> Iterator[Ext4Disk]:
    """A disk that can break, where mounting is permitted."""
    place = tmp_path / "ext4"
    place.mkdir()
    disk = Ext4Disk(tmp_path / "image", place)
    yield disk
    disk.unmount()


@pytest.fixture
def alone(home: Path) -> Settings:  # noqa: F811
    """No sink and nothing captured: the journal only."""
    return Settings(home=home, sinks=(), capture=())
