"""The history of a model's champions, as tags of the tickets: shared by all machines, appended to only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from touchline.catalog import tickets
from touchline.catalog.store import telling
from touchline.catalog.tickets import Ticket
from touchline.catalog.version import ModelVersion, tag_value

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

Kind = Literal["attempt", "promoted", "refused", "rolled back"]
MOVES: tuple[Kind, ...] = ("promoted", "rolled back")
"""Kinds of entries that move the alias."""
KIND = "kind"
NOBODY = "none"
LONGEST_REASON = 2_000
"""Characters; it is the ticket's description, of which MLflow's databases keep 5,000."""


@dataclass(frozen=True)
class Entry:
    """One entry: an attempt that was claimed, or a decision."""

    kind: Kind
    version: int
    """The candidate, or the version that a rollback restored."""
    previous: int | None
    """The champion before; None when there was none."""
    reign: str
    """sha256 of that champion's payload, or "none"."""
    run_id: str
    """Touchline's id of the Run that decided."""
    attempt: int | None = None
    """Number of the attempt in the reign, from 1; None for a rollback."""
    verdict: str = ""
    """"passed" or "failed"; empty where nothing was judged."""
    provisional: bool = False
    """Whether the verdict rests on fewer scenarios than it should."""
    evidence: str = ""
    """Where the evidence lies, such as ``runs:/…/evidence.json``."""
    evidence_digest: str = ""
    """sha256 of that file."""
    reason: str = ""
    """The verdict's sentence, or why somebody rolled back."""
    number: int = 0
    """Number of the ticket; others in between decided nothing."""
    at: str = ""
    """UTC, ISO 8601, by the clock of the machine that wrote it."""
    by: str = ""
    """user@host."""
    effective: bool = True
    """False when the alias did not follow: the process died before it set it, or somebody moved it by hand."""


@contextlib.contextmanager
def writing(catalog: Catalog, model: str, intention: Entry) -> Iterator[Ticket]:
    """Hold the lock on ``model`` with a ticket that tells what is intended; it is no entry before ``write``."""
    with tickets.holding(catalog, model, _tags(intention), intention.reason[:LONGEST_REASON]) as ticket:
        yield ticket


def write(ticket: Ticket, intention: Entry, entry: Entry) -> Entry:
    """Make the ticket an entry: what differs from the intention, and last of all its kind."""
    said, told = _tags(intention), _tags(entry)
    with telling(ticket.catalog.settings, f"write the ledger {ticket.name}"):
        ticket.tag({key: value for key, value in told.items() if said.get(key) != value})
        if entry.reason != intention.reason:
            ticket.catalog.client.update_model_version(ticket.name, str(ticket.number), entry.reason[:LONGEST_REASON])
        ticket.tag({KIND: entry.kind})
        found = tickets.read(ticket.catalog, ticket.name, ticket.number)
    return _entry(ticket.number, found)


def history(catalog: Catalog, model: str, alias: str) -> tuple[Entry, ...]:
    """Return the entries, oldest first; ``alias`` tells whether the last move took effect."""
    return judged(read(catalog, model), catalog.resolve(model, alias))


def judged(entries: Sequence[Entry], champion: ModelVersion | None) -> tuple[Entry, ...]:
    """Say of each entry whether it took effect, given who is champion after the last one."""
    moves = [entry for entry in entries if entry.kind in MOVES]
    # What the next move found as champion is what this one left behind.
    found = [*(entry.previous for entry in moves), champion.version if champion else None][1:]
    vain = {e.number for e, after in zip(moves, found, strict=True) if e.version != after}
    return tuple(replace(entry, effective=entry.number not in vain) for entry in entries)


def read(catalog: Catalog, model: str) -> tuple[Entry, ...]:
    """Return the entries as they were written, oldest first."""
    name = tickets.ledger_of(catalog, model)
    with telling(catalog.settings, f"read the ledger {name}"):
        found = sorted(tickets.all_of(catalog, name).items())
    return tuple(_entry(number, tags) for number, tags in found if tags.get(KIND))


def reign_of(champion: ModelVersion | None) -> str:
    """Name of the champion's reign: the digest of its payload, or "none"."""
    return NOBODY if champion is None else champion.digest or f"version {champion.version}"


def _tags(entry: Entry) -> dict[str, str]:
    told = {
        "version": str(entry.version),
        "previous": NOBODY if entry.previous is None else str(entry.previous),
        "reign": entry.reign,
        "run_id": entry.run_id,
        "attempt": "" if entry.attempt is None else str(entry.attempt),
        "verdict": entry.verdict,
        "provisional": str(entry.provisional).lower() if entry.verdict or entry.provisional else "",
        "evidence": entry.evidence,
        "evidence_digest": entry.evidence_digest,
    }
    return {key: tag_value(value) for key, value in told.items() if value}


def _entry(number: int, tags: Mapping[str, str]) -> Entry:
    previous, attempt = tags.get("previous", NOBODY), tags.get("attempt", "")
    return Entry(
        kind=tags[KIND],  # type: ignore[arg-type]
        version=int(tags["version"]),
        previous=None if previous == NOBODY else int(previous),
        reign=tags.get("reign", NOBODY),
        run_id=tags.get("run_id", ""),
        attempt=int(attempt) if attempt else None,
        verdict=tags.get("verdict", ""),
        provisional=tags.get("provisional") == "true",
        evidence=tags.get("evidence", ""),
        evidence_digest=tags.get("evidence_digest", ""),
        reason=tags["description"],
        number=number,
        at=tags.get(tickets.AT, ""),
        by=tags.get(tickets.BY, ""),
    )
