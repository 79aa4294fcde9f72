"""Where checkpoints lie: a local disk, a mounted volume that takes only whole files, or an object store."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import psutil

from touchline.checkpoint.manifest import NAME, Damaged, Manifest, parse, sync_directory, verify
from touchline.errors import TouchlineError
from touchline.filesystem import filesystem_type, is_network, make_alike, make_private, no_more_open

_PARTIAL = ".partial-"
_VOLUMES = ("/Volumes/", "/dbfs/")
"""Mounts of Databricks, which write whole files only."""
_mine: set[Path] = set()
"""Directories that this process writes or reads now. Its number alone does not tell: in a container, the training
after a restart has the same one."""


class Storage(Protocol):
    """Directories of files by name; each is there whole or not at all. All but ``stage`` may raise OSError."""

    def names(self) -> list[str]:
        """Names of what lies here, finished or not."""
        ...

    def stage(self) -> Path:
        """Return a new empty local directory to write into; ``discard`` it afterwards."""
        ...

    def publish(self, staged: Path, name: str) -> None:
        """Put a directory that has its manifest in place."""
        ...

    def manifest(self, name: str) -> Manifest:
        """Read what a directory says of itself; raises Damaged when it was never finished."""
        ...

    def check(self, name: str) -> None:
        """Raise Damaged when a directory is not as it was written, as far as can be seen without moving it here."""
        ...

    def fetch(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Have a directory's files on the local disk while the context lasts; they are not verified."""
        ...

    def delete(self, name: str) -> None:
        """Remove a directory; one that is half removed counts as never finished."""
        ...

    def sweep(self) -> None:
        """Remove what processes that died in the middle of a save or a load left on this machine."""
        ...

    def free_bytes(self) -> int | None:
        """Bytes that can still be written; None where that is not known."""
        ...

    def where(self, name: str) -> str:
        """Path or address of a directory, for people."""
        ...


def storage_at(location: Path | str, staging: Path | None = None) -> Storage:
    """Return the storage at a path or an fsspec address such as ``gs://bucket/folder``.

    What is not a local disk is written in ``staging`` first (None: the temporary directory). Raises TouchlineError
    when an address needs a package that is not installed.
    """
    text = os.fspath(location)
    if "://" in text:
        return WholeFiles(text, staging)
    path = Path(text).expanduser().absolute()
    if text.startswith(_VOLUMES) or is_network(filesystem_type(path)):
        return WholeFiles(str(path), staging)
    return LocalDisk(path)


class LocalDisk:
    """A directory on a local disk: written aside, forced to the disk, renamed into place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """See ``Storage``."""
        if not self.directory.exists():
            return []
        return [path.name for path in self.directory.iterdir() if path.is_dir() and not path.name.startswith(".")]

    def stage(self) -> Path:
        """See ``Storage``."""
        return _stage(self.directory)

    def publish(self, staged: Path, name: str) -> None:
        """See ``Storage``."""
        no_more_open(staged, self.directory)
        staged.rename(self.directory / name)
        for directory in (self.directory, self.directory.parent):
            sync_directory(directory)

    def manifest(self, name: str) -> Manifest:
        """See ``Storage``."""
        return _parsed(lambda: (self.directory / name / NAME).read_bytes())

    def check(self, name: str) -> None:
        """See ``Storage``."""
        verify(self.directory / name)

    @contextlib.contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """See ``Storage``."""
        yield self.directory / name

    def delete(self, name: str) -> None:
        """See ``Storage``."""
        # Away at once, and swept later if this process dies before the files are gone.
        removed = _staged_name(self.directory)
        with contextlib.suppress(FileNotFoundError):
            (self.directory / name).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)

    def sweep(self) -> None:
        """See ``Storage``."""
        _sweep(self.directory)

    def free_bytes(self) -> int | None:
        """See ``Storage``."""
        return shutil.disk_usage(self.directory).free

    def where(self, name: str) -> str:
        """See ``Storage``."""
        return str(self.directory / name)


class WholeFiles:
    """A place that takes whole files and no renames: the manifest goes last, and what has none does not exist."""

    def __init__(self, address: str, staging: Path | None = None) -> None:
        """``address`` as fsspec reads it, or a path; a credential comes from where that file system looks for it."""
        self.address = address.rstrip("/")
        self._staging = staging or _staging_of_mine()
        self._files, self._root = _file_system(self.address)

    def names(self) -> list[str]:
        """See ``Storage``."""
        with _told_as_oserror():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return [PurePosixPath(entry["name"]).name for entry in found if entry["type"] == "directory"]

    def stage(self) -> Path:
        """See ``Storage``."""
        return _stage(self._staging)

    def publish(self, staged: Path, name: str) -> None:
        """See ``Storage``."""
        target = f"{self._root}/{name}"
        files = sorted(staged.iterdir(), key=lambda path: path.name == NAME)
        with _told_as_oserror():
            self._files.makedirs(target, exist_ok=True)
            for path in files:
                self._files.put_file(str(path), f"{target}/{path.name}")
                written, expected = self._files.info(f"{target}/{path.name}")["size"], path.stat().st_size
                if written != expected:
                    raise OSError(f"{path.name} arrived with {written:,} of {expected:,} bytes")

    def manifest(self, name: str) -> Manifest:
        """See ``Storage``."""
        with _told_as_oserror():
            return _parsed(lambda: self._files.cat_file(f"{self._root}/{name}/{NAME}"))

    def check(self, name: str) -> None:
        """See ``Storage``."""
        files = self.manifest(name).files
        with _told_as_oserror():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}/{name}", detail=True)
            except FileNotFoundError:
                raise Damaged("it is no longer there") from None
        sizes = {PurePosixPath(entry["name"]).name: entry["size"] for entry in found}
        for file, expected in files.items():
            if sizes.get(file) != expected["bytes"]:
                raise Damaged(f"{file} has {sizes.get(file, 0):,} bytes instead of {expected['bytes']:,}")

    @contextlib.contextmanager
    def fetch(self, name: str) -> Iterator[Path]:
        """See ``Storage``."""
        files = self.manifest(name).files
        local = self.stage()
        try:
            with _told_as_oserror():
                for file in (*files, NAME):
                    try:
                        self._files.get_file(f"{self._root}/{name}/{file}", str(local / file))
                    except FileNotFoundError:
                        raise Damaged(f"{file} is missing") from None
            yield local
        finally:
            discard(local)

    def delete(self, name: str) -> None:
        """See ``Storage``."""
        with _told_as_oserror():
            self._files.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}/{NAME}")
            with contextlib.suppress(FileNotFoundError):
                self._files.rm(f"{self._root}/{name}", recursive=True)

    def sweep(self) -> None:
        """See ``Storage``."""
        _sweep(self._staging)

    def free_bytes(self) -> int | None:
        """See ``Storage``."""
        return None

    def where(self, name: str) -> str:
        """See ``Storage``."""
        return f"{self.address}/{name}"


def discard(staged: Path) -> None:
    """Remove a staged directory, unless it was moved into place."""
    shutil.rmtree(staged, ignore_errors=True)
    _mine.discard(staged)


def _stage(directory: Path) -> Path:
    # Not mkdtemp, whose directories nobody else may read: a team shares its checkpoints as their directory is.
    make_alike(directory)
    staged = _staged_name(directory)
    _mine.add(staged)
    staged.mkdir()
    return staged


def _staging_of_mine() -> Path:
    """The directory in the temporary one in which everybody may write, once it is known to be the user's alone."""
    directory = make_private(Path(tempfile.gettempdir(), f"touchline-{os.getuid()}"))
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise TouchlineError(
            f"The directory {directory} for files on their way to checkpoints is not yours alone (owner "
            f"{found.st_uid}, mode {stat.filemode(found.st_mode)}). Remove it, or set TMPDIR to a directory of yours."
        )
    return directory


def _staged_name(directory: Path) -> Path:
    return directory / f"{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"


def _sweep(directory: Path) -> None:
    for path in directory.glob(f"{_PARTIAL}*"):
        owner = path.name.removeprefix(_PARTIAL).split("-")[0]
        lives = owner.isdecimal() and int(owner) != os.getpid() and psutil.pid_exists(int(owner))
        if not lives and path not in _mine:
            shutil.rmtree(path, ignore_errors=True)


def _parsed(read: Any) -> Manifest:
    try:
        return parse(read())
    except FileNotFoundError:
        raise Damaged("it has no manifest, so it was never finished") from None


def _file_system(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise TouchlineError(
            f"Checkpoints at {address} need fsspec; install it with: pip install 'touchline[checkpoint]'"
        ) from error
    try:
        files, root = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise TouchlineError(f"Checkpoints cannot be kept at {address}: {error}") from error
    return files, root.rstrip("/")


@contextlib.contextmanager
def _told_as_oserror() -> Iterator[None]:
    """Let what a vendor's client raises look like the failing disk that it is."""
    try:
        yield
    except (OSError, TouchlineError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
