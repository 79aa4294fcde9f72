"""Finding the checkpoint to go on from: the newest that is whole, or the one of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from touchline.checkpoint import snapshot as files
from touchline.checkpoint.manifest import AnotherFormat, Damaged, Manifest, verify
from touchline.checkpoint.names import Skipped, names_in
from touchline.checkpoint.storage import Storage
from touchline.errors import TouchlineError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint whose every byte was verified, in host memory."""

    name: str
    """Of its directory."""
    path: str
    """Where it lies."""
    loaded: files.Loaded
    manifest: Manifest
    skipped: tuple[Skipped, ...] = ()
    """Newer ones that could not be used, newest first."""

    @property
    def step(self) -> int:
        """Policy transitions over all environments, or whatever the training counts."""
        return self.loaded.step

    @property
    def metadata(self) -> Mapping[str, Any]:
        """As saved, after a round trip through JSON."""
        return self.loaded.metadata

    @property
    def arrays(self) -> Mapping[str, Any]:
        """The state's arrays as NumPy's, by path; types that NumPy lacks as bytes with one axis more."""
        return self.loaded.encoded.arrays

    def restore(self, like: Any) -> Any:
        """Return the saved state with the types, devices and objects of ``like``, and set the global generators.

        Raises Mismatch, with what differs and before anything is changed, when ``like`` is of another shape.
        """
        return self.loaded.restore(like)


class Newest(NamedTuple):
    """The newest checkpoint that verifies, not loaded."""

    step: int
    name: str
    digest: str
    """sha256 of its manifest, which has those of all its files."""
    directory: Path
    """Its files, on the local disk."""


@dataclass(frozen=True)
class Intact(Generic[T]):
    """A checkpoint that was verified, with what was read of it."""

    name: str
    directory: Path
    """Its files, on the local disk."""
    manifest: Manifest
    content: T
    skipped: tuple[Skipped, ...] = ()
    """Newer ones that could not be used, newest first."""


@contextlib.contextmanager
def newest_intact(storage: Storage, location: str, read: Callable[[Path], T]) -> Iterator[Intact[T] | None]:
    """Have the newest checkpoint that verifies while the context lasts; None where there is none at all.

    Raises TouchlineError when all there are are damaged, and when one may be whole but cannot be read now.
    """
    skipped: list[Skipped] = []
    for name in reversed(known_names(storage, location)):
        with contextlib.ExitStack() as open_files:
            try:
                found = open_files.enter_context(intact(storage, name, read))
            except Damaged as error:
                skipped.append(Skipped(storage.where(name), str(error)))
                continue
            yield replace(found, skipped=tuple(skipped))
            return
    if skipped:
        raise TouchlineError(
            f"None of the {len(skipped)} checkpoints in {location} can be used. "
            + " ".join(str(one) for one in skipped)
            + " Restore them from a copy, or move the directory away to start over."
        )
    yield None


@contextlib.contextmanager
def intact(storage: Storage, name: str, read: Callable[[Path], T]) -> Iterator[Intact[T]]:
    """Fetch, verify and read one checkpoint; raises Damaged, or TouchlineError where that cannot be known now."""
    where = storage.where(name)
    with contextlib.ExitStack() as open_files:
        try:
            directory = open_files.enter_context(storage.fetch(name))
            found = Intact(name, directory, verify(directory), read(directory))
        except AnotherFormat as error:
            raise AnotherFormat(f"The checkpoint {where} cannot be read: {error}.") from error
        except OSError as error:
            raise _unreachable(f"The checkpoint {where}", error) from error
        yield found


def known_names(storage: Storage, location: str) -> list[str]:
    """Names of the checkpoints, oldest first; raises TouchlineError where the storage cannot be reached."""
    try:
        return names_in(storage)
    except OSError as error:
        raise _unreachable(location, error) from error


def _unreachable(what: str, error: OSError) -> TouchlineError:
    return TouchlineError(
        f"{what} cannot be read now ({error.strerror or error}), though it may be whole. Try again once it can be "
        "reached and read; nothing was changed."
    )
