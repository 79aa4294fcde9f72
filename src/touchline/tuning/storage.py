"""Where studies live: SQLite for one machine, PostgreSQL for several; opened so that any number may open at once."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib
import importlib.util
import shlex
import sqlite3
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from touchline.errors import TouchlineError, UsageError
from touchline.filesystem import create_private, make_private, refuse_network_filesystem

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

T = TypeVar("T")
HEARTBEAT_SECONDS = 10
GRACE_SECONDS = 60
"""A trial that nobody gave a sign of life for so long is taken for dead, on whatever machine it was."""
LOCK_SECONDS = 300.0
"""Longest wait for others that open the same storage, or ask it for a trial."""
BUSY_SECONDS = 60.0
OUTAGE_SECONDS = 900.0
"""What has to be told to a study waits so long for a storage that is away."""
AGAIN_SECONDS = 3.0
_POLL_SECONDS = 0.02
_LOCK_NOT_AVAILABLE = "55P03"
_DAMAGED = ("not a database", "malformed", "encrypted")
_DRIVERS = ("postgresql", "postgresql+psycopg2", "postgresql+psycopg")


class StorageAway(TouchlineError):
    """A storage cannot be reached, now at least."""


def is_outage(error: BaseException) -> bool:
    """Whether an error of Optuna or of the database means that the storage is away, or was for a moment."""
    import optuna
    import sqlalchemy

    causes = (StorageAway, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    is_wrapped = isinstance(error, optuna.exceptions.StorageInternalError) and isinstance(error.__cause__, causes)
    return is_wrapped or isinstance(error, causes)


def patiently(call: Callable[[], T], tell: Callable[[str], None], seconds: float = OUTAGE_SECONDS) -> T:
    """Return what ``call`` returns, called again and again while the storage is away, for at most ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except Exception as error:
            if not is_outage(error) or time.monotonic() >= deadline:
                raise
            tell(f"The study's storage is away ({_reason(error)}); it is asked again.")
            time.sleep(AGAIN_SECONDS)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(getattr(cause, "orig", None) or cause).split())[:300].rstrip(".")


def default_url(home: Path) -> str:
    """The SQLite file in the home."""
    return f"sqlite:///{home / 'optuna.db'}"


@dataclass(frozen=True)
class StudyStorage:
    """A database that holds studies; nothing is touched before it is opened."""

    url: str
    """``sqlite:///FILE`` or ``postgresql://…``; may hold a password."""

    def __post_init__(self) -> None:
        if self.file is None and not self.url.startswith(tuple(f"{driver}://" for driver in _DRIVERS)):
            raise UsageError(
                f"Studies live in SQLite or PostgreSQL, and the storage is {self.shown!r}. Give sqlite:///FILE, or "
                "postgresql://USER@HOST/DATABASE for several machines."
            )

    @property
    def file(self) -> Path | None:
        """The SQLite file, None for a server."""
        if not self.url.startswith("sqlite:///"):
            return None
        path = urllib.parse.unquote(self.url.removeprefix("sqlite:///").partition("?")[0])
        if path in ("", ":memory:"):
            return None
        return Path(path)

    def absolute(self) -> StudyStorage:
        """The same, by a path that means the same in any directory."""
        return self if self.file is None else StudyStorage(f"sqlite:///{self.file.absolute()}")

    @property
    def shown(self) -> str:
        """The URL without its password, for people and records."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.password is None:
            return self.url
        return self.url.replace(f":{parts.password}@", ":***@", 1)

    @property
    def _address(self) -> str:
        """The URL with the driver that is installed: which one is the default depends on SQLAlchemy's version."""
        if not self.url.startswith("postgresql://"):
            return self.url
        driver = next((name for name in ("psycopg2", "psycopg") if importlib.util.find_spec(name)), None)
        if driver is None:
            raise UsageError(
                "No driver of PostgreSQL is installed here; install one with: pip install psycopg2-binary"
            )
        return self.url.replace("postgresql://", f"postgresql+{driver}://", 1)

    @property
    def exists(self) -> bool:
        """False where the SQLite file was never made; a server is taken to be there."""
        return self.file is None or self.file.exists()

    def open(self) -> BaseStorage:
        """Open it, with its tables made by whoever is first and the heartbeat on.

        Raises TouchlineError when it cannot be reached, is damaged, or was made by another version of Optuna.
        """
        # A second or more of imports, which Optuna makes when they are needed: not while others wait for the lock.
        for module in ("alembic.command", "alembic.migration", "optuna.storages._rdb.models"):
            importlib.import_module(module)
        with self.lock("schema"):
            if self.file is not None:
                create_private(self.file)
            return self._open()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the storage's lock called ``name`` among all processes that use it; a dead holder lets go of it.

        Raises TouchlineError when others hold it for five minutes, or when the storage cannot be reached.
        """
        with self._file_lock(self.file, name) if self.file is not None else self._server_lock(name):
            yield

    @contextlib.contextmanager
    def _file_lock(self, file: Path, name: str) -> Iterator[None]:
        try:
            make_private(file.parent)
            refuse_network_filesystem(file.parent.absolute())
            lock = create_private(file.with_name(f"{file.name}.{name}.lock")).open("ab")
        except OSError as error:
            raise TouchlineError(
                f"The studies' directory {file.parent} cannot be written ({error.strerror or error}). Make it "
                "writable, or choose another with --storage."
            ) from error
        with lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise self._held(name) from None
                    time.sleep(_POLL_SECONDS)
            yield

    @contextlib.contextmanager
    def _server_lock(self, name: str) -> Iterator[None]:
        import sqlalchemy

        # The number of an advisory lock is a signed integer of 64 bits; the session's end lets go of it.
        digest = hashlib.sha256(f"touchline tuning {name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        try:
            connection = _locker(self._address).connect()
        except sqlalchemy.exc.OperationalError as error:
            raise self._unreachable(error) from error
        with connection:
            try:
                connection.execute(sqlalchemy.text(f"SET lock_timeout = '{LOCK_SECONDS:g}s'"))
                connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({number})"))
            except sqlalchemy.exc.OperationalError as error:
                code = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None)
                raise (self._held(name) if code == _LOCK_NOT_AVAILABLE else self._unreachable(error)) from error
            try:
                yield
            finally:
                with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                    connection.execute(sqlalchemy.text(f"SELECT pg_advisory_unlock({number})"))

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Turn what Optuna and the database raise in the context into a TouchlineError with a remedy."""
        import optuna
        import sqlalchemy

        try:
            yield
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise self._unreachable(error) from error

    def _open(self) -> BaseStorage:
        import sqlalchemy

        from touchline.tuning.reading import ColumnReadingStorage

        is_file = self.file is not None
        if self.file is not None:
            _write_ahead(self.file)
        arguments: dict[str, Any] = {"timeout": BUSY_SECONDS} if is_file else {"connect_timeout": 10}
        try:
            with self.telling(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the heartbeat is experimental
                rdb = ColumnReadingStorage(
                    self._address,
                    engine_kwargs={"connect_args": arguments, "pool_pre_ping": not is_file},
                    heartbeat_interval=HEARTBEAT_SECONDS,
                    grace_period=GRACE_SECONDS,
                )
        except RuntimeError as error:  # Optuna's own sentence names the command that upgrades the tables
            raise TouchlineError(f"The storage {self.shown} cannot be used. {error}") from error
        if is_file:
            sqlalchemy.event.listen(rdb.engine, "connect", _no_wait_for_the_disk)
        return rdb

    def _held(self, name: str) -> TouchlineError:
        return TouchlineError(
            f"Another process has held the lock {name!r} of {self.shown} for {LOCK_SECONDS:g} s. Does one hang?"
        )

    def _unreachable(self, error: Exception) -> TouchlineError:
        reason = _reason(error)
        damaged = self.file is not None and any(word in reason for word in _DAMAGED)
        remedy = "Check that it runs, and its address, user and password."
        if damaged:
            aside = shlex.join(["mv", str(self.file), f"{self.file}.damaged"])
            remedy = f"Put a backup in its place, or begin anew with: {aside}"
        kind = TouchlineError if damaged else StorageAway
        what = "is damaged" if damaged else "cannot be reached"
        return kind(f"The storage {self.shown} {what} ({reason}). {remedy}")


@functools.cache
def _locker(address: str) -> Any:
    """An engine whose sessions hold locks and nothing else."""
    import sqlalchemy

    return sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


def _write_ahead(file: Path) -> None:
    """Let readers and a writer not wait for each other; the file remembers it."""
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as db,
    ):
        db.execute("PRAGMA journal_mode=WAL")


def _no_wait_for_the_disk(connection: Any, record: Any) -> None:
    """With a write-ahead log a crash of the machine may lose the last reports, and never the study."""
    connection.execute("PRAGMA synchronous=NORMAL")
