"""The lock on changes of a model, across machines: numbered tickets in the registry, the lowest open one holds it.

A ticket is a version of a registered model beside the model. Creating a version is the one atomic thing that every
registry has, so its number is the order; its tags tell who made it and how it was closed.
"""

from __future__ import annotations

import contextlib
import getpass
import random
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.catalog.store import all_versions, create_version, ensure_model, is_absent, is_unity_catalog, telling
from touchline.catalog.version import tag_value
from touchline.errors import TouchlineError
from touchline.tracking.process import ProcessIdentity

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

AT, BY = "at", "by"
"""When the ticket was made (UTC, ISO 8601) and by whom (user@host)."""
_OWNER, _TOKEN, _CLOSED = "owner", "token", "closed"
RELEASED, EXPIRED, ABANDONED = "released", "expired", "abandoned"
"""How tickets are closed: by their holder, by others after its lease, by one that gave up waiting."""
_SUFFIX = "_ledger"
_SOURCE = "touchline:/ticket"
_TRIES = 50


@dataclass(frozen=True)
class Lease:
    """How long a holder that says nothing is waited for. No two machines' clocks are compared."""

    seconds: float = 60.0
    """A waiter closes a ticket that it has seen holding the lock for so long."""
    margin: float = 15.0
    """A holder with less than this left, by its own clock, changes nothing any more."""
    poll: float = 0.1
    """Pause between two looks at the holder's ticket, seconds."""
    patience: float = 300.0
    """A waiter gives up after so long."""


class LeaseLost(TouchlineError):
    """The lock was held for so long that others may have taken it over."""


@dataclass(frozen=True)
class Ticket:
    """A held lock; its tags become an entry of the ledger."""

    catalog: Catalog
    name: str
    """Full name of the registered model that holds the tickets."""
    number: int
    deadline: float
    """End of the lease, by this machine's clock."""

    def tag(self, tags: Mapping[str, str]) -> None:
        """Write tags, in this order."""
        for key, value in tags.items():
            _tag(self.catalog, self.name, self.number, key, value)

    def must_hold(self) -> None:
        """Raise LeaseLost unless nobody has taken over, and nobody can before the margin has passed."""
        closed = self.closed()
        left = self.deadline - _now()  # after the look, which may itself have taken long
        lease = self.catalog.lease
        if closed:
            raise LeaseLost(
                f"The ticket {self.number} of {self.name} was marked {closed!r} by another process, so this one "
                "changed nothing. Give the command again."
            )
        if left < lease.margin:
            raise LeaseLost(
                f"This process has held the ticket {self.number} of {self.name} for too long: {max(left, 0.0):.1f} s "
                f"of {lease.seconds:g} s are left, and it stops at {lease.margin:g} s. It changed nothing. Give the "
                "command again."
            )

    def closed(self) -> str:
        """How the ticket was closed; empty while it is open."""
        with telling(self.catalog.settings, f"read the ticket {self.number} of {self.name}"):
            return read(self.catalog, self.name, self.number)[_CLOSED]


def ledger_of(catalog: Catalog, model: str) -> str:
    """Full name of the registered model whose versions are the tickets of ``model``."""
    return catalog.full_name(model) + _SUFFIX


@contextlib.contextmanager
def holding(
    catalog: Catalog, model: str, told: Mapping[str, str] | None = None, description: str = ""
) -> Iterator[Ticket]:
    """Hold the lock on changes of ``model``; ``told`` and ``description`` are written with the ticket.

    Raises TouchlineError when the lock cannot be had in ``catalog.lease.patience`` seconds; LeaseLost, at the
    end, when others took it over meanwhile.
    """
    name = ledger_of(catalog, model)
    with telling(catalog.settings, f"take a ticket of {name}"):
        # Whoever looks later than this cannot have seen the ticket earlier.
        since, token = _now(), secrets.token_hex(8)
        number = _make(catalog, name, token, told or {}, description)
        try:
            since = _wait(catalog, name, number, token, since)
        except BaseException:
            with contextlib.suppress(Exception):
                _tag(catalog, name, number, _CLOSED, ABANDONED)
            raise
    ticket = Ticket(catalog, name, number, since + catalog.lease.seconds)
    try:
        yield ticket
    except BaseException:
        with contextlib.suppress(Exception):
            if not ticket.closed():
                _tag(catalog, name, number, _CLOSED, RELEASED)
        raise
    with telling(catalog.settings, f"give back the ticket {number} of {name}"):
        if closed := ticket.closed():
            raise LeaseLost(
                f"The ticket {number} of {name} was marked {closed!r} while this process changed something. "
                "Look what holds now with: touchline champion"
            )
        _tag(catalog, name, number, _CLOSED, RELEASED)


def read(catalog: Catalog, name: str, number: int) -> Mapping[str, str]:
    """Return a ticket's tags and ``description``; one that was deleted counts as abandoned."""
    from mlflow.exceptions import MlflowException

    try:
        found = catalog.client.get_model_version(name, str(number))
    except MlflowException as error:
        if not is_absent(error):
            raise
        return {_CLOSED: ABANDONED}
    return _told(found)


def all_of(catalog: Catalog, name: str) -> Mapping[int, Mapping[str, str]]:
    """Return the tags and ``description`` of every ticket, by number.

    Closed tickets do not change any more, so the catalog keeps them: Unity Catalog tells tags one version a request.
    """
    kept = catalog.closed_tickets.setdefault(name, {})
    found = dict(kept)
    for entity in all_versions(catalog.client, name):
        number = int(entity.version)
        if number not in kept:
            is_told = not is_unity_catalog(catalog.settings)
            found[number] = _told(entity) if is_told else read(catalog, name, number)
    kept.update((number, tags) for number, tags in found.items() if tags[_CLOSED])
    return found


def _told(found: Any) -> Mapping[str, str]:
    return {_CLOSED: "", **found.tags, "description": found.description or ""}


def _make(catalog: Catalog, name: str, token: str, told: Mapping[str, str], description: str) -> int:
    """Create the ticket and return its number."""
    from mlflow.exceptions import MlflowException

    tags = {
        AT: datetime.now(UTC).isoformat(timespec="milliseconds"),
        BY: tag_value(f"{getpass.getuser()}@{socket.gethostname()}"),
        _OWNER: _this_process(),
        _TOKEN: token,
        **told,
    }
    with _files(catalog) as files:
        for _ in range(_TRIES):
            try:
                made = create_version(catalog.client, name, _SOURCE, files, tags=tags, description=description)
                return int(made.version)
            except MlflowException as error:
                if is_absent(error):
                    ensure_model(catalog.client, name)
                elif "version creation error" in str(error).casefold():
                    # MLflow itself tries three times to get a number before others do.
                    time.sleep(random.uniform(0.0, 0.2))
                else:
                    raise
    raise TouchlineError(f"{name} gave no ticket in {_TRIES} tries: too many processes want one. Try again later.")


def _wait(catalog: Catalog, name: str, number: int, token: str, since: float) -> float:
    """Wait for the lock; return the last moment at which nobody can have seen this ticket hold it."""
    lease, began = catalog.lease, _now()
    holder = _lowest_open(catalog, name, number)
    first_seen = _now()
    while holder < number:
        asked = _now()
        tags = read(catalog, name, holder)
        if tags[_CLOSED]:
            holder, first_seen = holder + 1, _now()
            continue
        since = asked
        if tags.get(_TOKEN) == token:  # a request of ours that MLflow repeated after it had succeeded
            _tag(catalog, name, holder, _CLOSED, ABANDONED)
        elif asked - first_seen > lease.seconds or _is_dead(tags.get(_OWNER, "")):
            _tag(catalog, name, holder, _CLOSED, EXPIRED)
        elif asked - began > lease.patience:
            raise TouchlineError(
                f"The lock on {name} could not be had in {lease.patience:.0f} s. Ticket {holder} holds it, made by "
                f"{tags.get(BY, 'somebody')} at {tags.get(AT, 'some time')}. Repeat the command when that is over."
            )
        else:
            time.sleep(lease.poll)
    return since


def _lowest_open(catalog: Catalog, name: str, number: int) -> int:
    """The ticket that holds the lock: going down from ``number``, the last open one before one that has held it."""
    lowest = number
    for other in range(number - 1, 0, -1):
        closed = read(catalog, name, other)[_CLOSED]
        if closed in (RELEASED, EXPIRED):  # when it held the lock, all before it were closed
            break
        if not closed:
            lowest = other
    return lowest


def _tag(catalog: Catalog, name: str, number: int, key: str, value: str) -> None:
    catalog.client.set_model_version_tag(name, str(number), key, value)


@contextlib.contextmanager
def _files(catalog: Catalog) -> Iterator[Path | None]:
    """A ticket's files: none, or for Unity Catalog, which wants a model in every version, the smallest one."""
    if not is_unity_catalog(catalog.settings):
        yield None
        return
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    nothing = Schema([ColSpec(DataType.string, "nothing")])
    with tempfile.TemporaryDirectory(prefix="touchline-ticket-") as directory:
        Model(signature=ModelSignature(nothing, nothing)).save(str(Path(directory) / "MLmodel"))
        yield Path(directory)


def _this_process() -> str:
    me = ProcessIdentity.current()
    return tag_value(f"{me.pid} {me.started} {me.boot} {_process_namespace()} {me.host}")


def _is_dead(owner: str) -> bool:
    """Whether the process that made a ticket ran on this very machine and has ended."""
    parts = owner.split(" ")
    if len(parts) != 5 or not parts[0].isdecimal() or parts[3] != _process_namespace():
        return False
    made = ProcessIdentity(int(parts[0]), parts[1], parts[2], parts[4])
    return made.is_local() and not made.is_alive()


def _now() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _process_namespace() -> str:
    """Containers of one host may share its boot and its name, but count their processes apart."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
