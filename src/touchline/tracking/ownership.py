"""A run's directory has one writer at a time, whatever starts at the same instant."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import IO

from touchline.filesystem import create_private

FILE_NAME = "writer.lock"
_guard = threading.Lock()
_held: set[str] = set()


class RunLock:
    """Held from before a journal is opened until it is closed; the kernel lets go when the process dies.

    A POSIX record lock: a forked data-loader worker that outlives the trainer does not inherit it, as it would
    inherit ``flock``. It is the process's, so other threads and runs of the same process are kept out by name.
    """

    def __init__(self, directory: Path) -> None:
        """Only names the lock; ``acquire`` takes it."""
        self.path = directory / FILE_NAME
        self._name = os.path.realpath(directory)
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take the lock unless a living writer has it. Raises OSError when the directory cannot be written."""
        with _guard:
            # Closing any descriptor of a file ends the process's locks on it, so it is never opened twice.
            if self._name in _held:
                return False
            file = create_private(self.path).open("ab")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            except BaseException:
                file.close()
                raise
            self._file = file
            _held.add(self._name)
            return True

    def release(self) -> None:
        """Let go; does nothing in a forked child."""
        with _guard:
            if self._file is not None:
                self._file.close()
                self._file = None
                _held.discard(self._name)


def _after_fork() -> None:
    global _guard
    _guard = threading.Lock()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)
