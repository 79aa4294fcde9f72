"""The history of champions, kept as tags of the registered model: shared by all machines, appended to only."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from touchline.catalog.store import is_absent, telling

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

_PREFIX = "touchline.champion."
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Entry:
    """One decision to make a version champion."""

    number: int
    """Counts from 1."""
    at: str
    """UTC, ISO 8601."""
    by: str
    """user@host."""
    version: int
    """The version that was to become champion."""
    previous: int | None
    """The champion before; None when there was none."""
    reason: str
    """The verdict's sentence, shortened."""
    effective: bool = True
    """False when it was not champion when next looked at: the process died before it set the alias, or somebody
    moved the alias by hand."""


def history(catalog: Catalog, model: str, alias: str) -> tuple[Entry, ...]:
    """Return the entries, oldest first; ``alias`` tells whether the last one took effect."""
    entries = _read(catalog, model)
    champion = catalog.resolve(model, alias)
    after = [entry.previous for entry in entries[1:]] + [champion.version if champion else None]
    # What the next decision found as champion is what this one left behind.
    return tuple(replace(e, effective=e.version == found) for e, found in zip(entries, after, strict=True))


def append(catalog: Catalog, model: str, version: int, previous: int | None, reason: str) -> Entry:
    """Add an entry; the caller holds the catalog's lock."""
    entries = _read(catalog, model)
    number = entries[-1].number + 1 if entries else 1
    entry = Entry(
        number=number,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=f"{getpass.getuser()}@{socket.gethostname()}",
        version=version,
        previous=previous,
        reason=reason[:_LONGEST_REASON],
    )
    value = {key: part for key, part in asdict(entry).items() if key not in ("number", "effective")}
    name = catalog.full_name(model)
    with telling(catalog.settings, f"write the ledger of {name}"):
        catalog.client.set_registered_model_tag(name, f"{_PREFIX}{number:06d}", json.dumps(value))
    return entry


def _read(catalog: Catalog, model: str) -> list[Entry]:
    from mlflow.exceptions import MlflowException

    name = catalog.full_name(model)
    with telling(catalog.settings, f"read the ledger of {name}"):
        try:
            tags = catalog.client.get_registered_model(name).tags
        except MlflowException as error:
            if is_absent(error):
                return []
            raise
    rows = sorted((key, value) for key, value in tags.items() if key.startswith(_PREFIX))
    return [Entry(number=int(key.removeprefix(_PREFIX)), **json.loads(value)) for key, value in rows]
