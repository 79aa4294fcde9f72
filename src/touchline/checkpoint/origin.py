"""Where a checkpoint comes from: the configuration and the code that made it, and how they differ from today's."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchline.config import plain
from touchline.errors import TouchlineError, UsageError
from touchline.redaction import redact

GIT_SECONDS = 10.0
_ABSENT = object()


class Refused(TouchlineError):
    """A checkpoint of another configuration or another version of the code."""


@dataclass(frozen=True)
class Origin:
    """What made a checkpoint."""

    config: Mapping[str, Any] | None = None
    """Plain values by name; None when the training did not tell."""
    code: Mapping[str, str] = field(default_factory=dict)
    """Versions by name: ``touchline``, ``commit`` and ``changes`` of the script's repository."""

    def to_mapping(self) -> dict[str, Any]:
        """As JSON."""
        return {"config": self.config, "code": dict(self.code)}

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Origin:
        """Inverse of ``to_mapping``."""
        return cls(mapping.get("config"), dict(mapping.get("code", {})))


def origin(config: Any = None, beside: Path | None = None) -> Origin:
    """Return the origin of what this process makes.

    ``config`` is a dataclass or a mapping; ``beside`` is a file of the code whose repository counts, the running
    script's by default. Code outside of a git repository has Touchline's version alone. Secrets in the configuration
    are masked.
    """
    from touchline import __version__

    told = plain(config)
    if told is not None and not isinstance(told, Mapping):
        raise UsageError(f"A configuration is a dataclass or a mapping, and this is {told!r}.")
    return Origin(told and redact("params", told), {"touchline": __version__, **_git(beside or _script())})


def differences(saved: Origin, mine: Origin) -> list[str]:
    """Return what differs, as ``name: saved → mine``; nothing for what one of the two does not tell."""
    told = []
    if saved.config is not None and mine.config is not None:
        told += _unequal(saved.config, mine.config, "")
    known = [name for name in saved.code if name in mine.code]
    told += _unequal({name: saved.code[name] for name in known}, {name: mine.code[name] for name in known}, "code.")
    return told


def _unequal(saved: Mapping[str, Any], mine: Mapping[str, Any], prefix: str) -> list[str]:
    told: list[str] = []
    for name in [*saved, *(name for name in mine if name not in saved)]:
        one, other = saved.get(name, _ABSENT), mine.get(name, _ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            told += _unequal(one, other, f"{prefix}{name}.")
        elif one != other and not (one != one and other != other):  # nan is the same as nan here
            told.append(f"{prefix}{name}: {_shown(one)} → {_shown(other)}")
    return told


def _shown(value: Any) -> str:
    return "(absent)" if value is _ABSENT else str(value)


def _script() -> Path | None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file) if file else None


def _git(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    commit = _ask_git(file, "rev-parse", "--short=12", "HEAD")
    tracked = _ask_git(file, "ls-files", "--error-unmatch", "--", file.name)
    if commit is None or tracked is None:
        return {}
    changed = _ask_git(file, "diff", "HEAD", "--no-ext-diff", "--no-color", "--", ":/*.py")
    digest = hashlib.sha256(changed).hexdigest()[:12] if changed else "none"
    return {"commit": commit.decode().strip(), "changes": digest}


def _ask_git(file: Path, *command: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(file.resolve().parent), *command], capture_output=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
