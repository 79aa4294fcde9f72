"""Secrets never reach a journal: what a run records as text is masked once, where it is encoded.

Known as secrets are the values of variables that carry one, passwords in addresses, and what ``touchline.masking``
recognises by its name or its form. From the journal come its copies, the payloads of every sink, and the report.
"""

from __future__ import annotations

import json
import logging
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchline.config import WEBHOOK_URL
from touchline.masking import KINDS_OF_KEYS, MASK, is_secret_setting, mask_text

SHORTEST = 8
"""Characters of the shortest value that is taken for a secret."""
STRONG = 16
"""From so many characters on, or of mixed ones, a secret is masked in the middle of a word too."""
NUMBERS = frozenset(("metrics", "duplicate", "histogram", "goal", "rewind"))
"""Kinds of events that hold names of metrics and numbers; they are not looked through, which keeps them quick."""
_OURS = {
    "start": frozenset(("run_id", "parent", "process")),
    "artifact": frozenset(("path",)),
    "video": frozenset(("path",)),
    "image": frozenset(("path",)),
    "model": frozenset(("path", "code")),
    "milestone": frozenset(("path", "digest")),
}
"""Fields that are made here, of masked parts, and that must stay what they are."""
_CARRIES = re.compile(
    r"(?:^|_)(?:TOKEN|PAT|JWT|DSN|PASS|PASSWD|PASSPHRASE|CREDENTIALS?|CONNECTION_STRING|"
    rf"(?:{KINDS_OF_KEYS})_?KEY)(?:_?\d+)?$|(?:PASSWORD|SECRET)(?:_?\d+)?$",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/\s:@]*:(?P<password>[^/\s]+)@")


@dataclass(frozen=True)
class Known:
    """The secrets that this process has met; one that has left the environment is still a secret."""

    environment: Mapping[Any, Any] = field(default_factory=dict)
    """What they were found in last, as ``os.environ`` keeps it."""
    told: int = 0
    """Number of those that ``remember`` was given by then."""
    strong: tuple[str, ...] = ()
    """Masked wherever they are, the longest first."""
    words: tuple[str, ...] = ()
    """Short ones of letters alone, or of digits: masked where they are a word of their own."""

    def and_of(self, values: Iterable[str], environment: Mapping[Any, Any], told: int) -> Known:
        """These and other secrets, each also as it stands in an address, in JSON and in a ``repr``."""
        found = {form for value in values if len(value) >= SHORTEST for form in _forms_of(value)}
        strong = {form for form in found if _is_strong(form)} | set(self.strong)
        words = (found | set(self.words)) - strong
        return Known(environment, told, tuple(sorted(strong, key=len, reverse=True)), tuple(sorted(words)))


_known = Known()
_told: set[str] = set()


def redact(kind: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's payload without secrets; the same object where ``kind`` holds numbers only."""
    if kind in NUMBERS:
        return payload
    known, ours = _present(), _OURS.get(kind, frozenset())
    if kind == "table":
        payload = _without_secret_columns(payload)
    return {
        _masked(str(key), known): value if key in ours else _clean(str(key), value, known)
        for key, value in payload.items()
    }


def redact_text(text: str) -> str:
    """Return a text without secrets."""
    return _masked(text, _present())


def redact_values(text: str) -> str:
    """Return a text, such as source code, without the secrets known by their value; what looks like one stays."""
    return _without(text, _present())


def redact_file_name(name: str) -> str:
    """Return the name of a file, or a path, without secrets and without a character that a shell expands."""
    return redact_text(name).replace(MASK, "masked")


def holds_secret(text: str) -> bool:
    """Whether a text holds a secret that this process knows by its value."""
    return any(secret in text for secret in _present().strong)


def remember(*addresses: str | None) -> None:
    """Take the passwords in addresses for secrets, as those of settings that are no variable."""
    _told.update(password for address in addresses if address for password in _passwords(address))


class Redacting(logging.Filter):
    """Masks what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record's message; every record passes."""
        told = record.getMessage()
        if (redacted := redact_text(told)) != told:
            record.msg, record.args = redacted, None
        return True


class RedactingFormatter(logging.Formatter):
    """Masks whole records, their tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Format without secrets."""
        return redact_text(super().format(record))


def _present() -> Known:
    """The known secrets, those of a changed environment included."""
    global _known
    # CPython keeps the variables as bytes: comparing these costs a microsecond, decoding all of them fifty.
    environment = getattr(os.environ, "_data", os.environ)
    known, told = _known, len(_told)
    if environment != known.environment or told != known.told:
        _known = known = known.and_of([*_carried(dict(os.environ)), *_told], dict(environment), told)
    return known


def _carried(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if name == WEBHOOK_URL or (_CARRIES.search(name) and not _is_file(value)):
            yield value
            if "\n" in value:  # a key file: its lines are printed one by one
                yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= STRONG)
        yield from _passwords(value)


def _is_file(value: str) -> bool:
    """True for the path of a file that holds a secret; the path itself is none."""
    try:
        return value.startswith(os.sep) and Path(value).exists()
    except OSError:
        return False


def _passwords(address: str) -> Iterator[str]:
    for found in _PASSWORD.finditer(address) if "://" in address else ():
        yield found["password"]
        yield urllib.parse.unquote(found["password"])


def _forms_of(value: str) -> set[str]:
    quoted = urllib.parse.quote(value, safe=""), urllib.parse.quote(value), urllib.parse.quote_plus(value)
    return {value, *quoted, json.dumps(value)[1:-1], repr(value)[1:-1]}


def _is_strong(value: str) -> bool:
    # A short password of letters may be a word that names other things too, such as "touchline".
    return len(value) >= STRONG or not (value.isalpha() or value.isdigit())


def _clean(key: str, value: Any, known: Known) -> Any:
    """A value without secrets; whole, where the name of it says that it is one."""
    return _hidden(value) if is_secret_setting(key) else _plain(value, known)


def _plain(value: Any, known: Known) -> Any:
    if isinstance(value, str):
        return _masked(value, known)
    if isinstance(value, Mapping):
        return {_masked(str(key), known): _clean(str(key), item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, known) for item in value]
    return value


def _without_secret_columns(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """A table whose columns named like a secret, such as ``password``, hold no text."""
    secret = {at for at, column in enumerate(table.get("columns", ())) if is_secret_setting(str(column))}
    if not secret:
        return table
    rows = [[_hidden(cell) if at in secret else cell for at, cell in enumerate(row)] for row in table.get("rows", ())]
    return {**table, "rows": rows}


def _hidden(value: Any) -> Any:
    """Mask every text in a value; numbers and what is not set stay."""
    if isinstance(value, str):
        return MASK if value else value
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return value


def _masked(text: str, known: Known) -> str:
    return mask_text(_without(text, known))


def _without(text: str, known: Known) -> str:
    for secret in known.strong:
        if secret in text:
            text = text.replace(secret, MASK)
    if known.words and any(word in text for word in known.words):
        text = re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, known.words))})(?!\w)", MASK, text)
    return text


logging.getLogger("touchline").addFilter(Redacting())
