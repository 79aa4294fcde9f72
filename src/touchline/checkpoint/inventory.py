"""What lies in a store: each checkpoint, whether it is intact, and why it stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from touchline.checkpoint.manifest import AnotherFormat, Damaged, verify
from touchline.checkpoint.names import names_in, order
from touchline.checkpoint.retention import Entry, Retention, kept
from touchline.checkpoint.storage import Storage


@dataclass(frozen=True)
class Listed:
    """A checkpoint as it lies in a store."""

    name: str
    """Of its directory."""
    step: int
    path: str
    """Path or address."""
    saved_at: float | None = None
    """Seconds since the epoch; None where the manifest cannot be read."""
    bytes: int = 0
    """Of its files together, without the manifest."""
    files: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    run: str = ""
    """Id of the run whose history it carries."""
    intact: bool | None = None
    """None: not verified, or of another version of Touchline."""
    problem: str = ""
    """Why it is not intact, or not known to be."""
    stays: str = ""
    """``newest``, ``every`` or ``best`` by the rule of the newest one; empty when the next save removes it."""


def inventory(storage: Storage, read: bool = True) -> list[Listed]:
    """Return the checkpoints of a storage, oldest first; with ``read``, every byte of them is verified.

    Raises OSError when the storage cannot be reached.
    """
    return with_reasons(list(each(storage, read)), _rule(storage))


def each(storage: Storage, read: bool = True) -> Iterator[Listed]:
    """The checkpoints one by one, oldest first, as they are verified; without why they stay."""
    for name in names_in(storage):
        yield _look(storage, name, read)


def with_reasons(found: Sequence[Listed], rule: Retention) -> list[Listed]:
    """Say why each one stays by ``rule``; damaged ones do not."""
    usable = [Entry(one.name, one.step, one.metrics) for one in found if not one.problem]
    reasons = kept(rule, usable)
    return [replace(one, stays=reasons.get(one.name, "")) for one in found]


def removable(found: Sequence[Listed], keep_last: int) -> list[Listed]:
    """What a person who keeps the ``keep_last`` newest intact ones can remove; nothing when none is intact.

    ``found`` was verified. Damaged ones are among it, those of another version of Touchline are not.
    """
    stays = {one.name for one in [one for one in found if one.intact][-keep_last:]}
    return [one for one in found if stays and one.name not in stays and one.intact is not None]


def _look(storage: Storage, name: str, read: bool) -> Listed:
    listed = Listed(name, order(name)[0], storage.where(name))
    try:
        manifest = storage.manifest(name)
        about: Mapping[str, Any] = manifest.about
        listed = replace(
            listed,
            saved_at=about["saved_at"],
            bytes=manifest.size,
            files=len(manifest.files),
            metrics=about["metrics"],
            run=about["run"],
        )
        if read:
            with storage.fetch(name) as directory:
                verify(directory)
    except Damaged as error:
        return replace(listed, intact=False, problem=str(error))
    except AnotherFormat as error:
        return replace(listed, problem=str(error))
    return replace(listed, intact=True if read else None)


def _rule(storage: Storage) -> Retention:
    """The rule that the newest checkpoint was saved under."""
    for name in reversed(names_in(storage)):
        try:
            return Retention(**storage.manifest(name).about["retention"])
        except (Damaged, AnotherFormat, KeyError, TypeError):
            continue
    return Retention()
