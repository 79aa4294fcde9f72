"""What a value of a bundle must look like, where Databricks finds out only when it is deployed or at night."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable

from touchline.errors import UsageError, nearest

_RUNTIME = re.compile(r"\d{1,2}\.\d{1,2}\.x(?:-[a-z0-9]+)*-scala2\.\d{2}")
_IMAGE = re.compile(  # https://github.com/distribution/reference
    r"(?:[A-Za-z0-9][A-Za-z0-9.\-]*(?::\d+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::\w[\w.\-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_EMAIL = re.compile(r"[^@\s,;<>\"]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+")
_SCOPE = re.compile(r"[\w@.\-]{1,128}", re.ASCII)
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
"""What W&B takes as a project, and each cloud as the value of a tag."""
_OFFSET = re.compile(r"(?:GMT|UTC|UT)[+\-]\d{1,2}(?::?\d\d)?")
"""Java, which reads the zone, knows these too."""

Check = Callable[[str], None]
"""Raises UsageError with the value and the remedy."""


def must_be_plain(name: str, value: str) -> None:
    """Raise UsageError where the command line would put something else in the place of a part of the value."""
    if "${" in value:
        raise UsageError(
            f"{name} is {value!r}, and in a bundle ${{…}} stands for another value. Give the value itself; what "
            "should refer to a variable is set in resources.py, in what resources(CONFIG) returns."
        )


def must_be_runtime(value: str) -> None:
    """Raise UsageError where the value has not the form of a Databricks Runtime's key."""
    if not _RUNTIME.fullmatch(value):
        raise UsageError(
            f"{value!r} is no key of a Databricks Runtime. Give one like 17.3.x-gpu-ml-scala2.13, or leave it out."
        )


def must_be_image(value: str) -> None:
    """Raise UsageError where the value cannot be a reference to a container image."""
    if not _IMAGE.fullmatch(value):
        raise UsageError(f"{value!r} is no container image. Give one like registry.example/club/touchline:1")


def must_be_email(value: str) -> None:
    """Raise UsageError where nobody can have such an address."""
    if not _EMAIL.fullmatch(value):
        raise UsageError(f"{value!r} is no e-mail address. Give some like you@example.org, spaces between them.")


def must_be_timezone(value: str) -> None:
    """Raise UsageError, with the nearest name, where there is no such time zone.

    A machine without the table of time zones, as Windows is without the package tzdata, takes every name.
    """
    if value == "UTC" or _OFFSET.fullmatch(value) or not (known := zoneinfo.available_timezones()) or value in known:
        return
    guess = nearest(value, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UsageError(f"There is no time zone {value!r}.{hint} Give UTC, or one like Europe/Berlin.")


def must_be_scope(value: str) -> None:
    """Raise UsageError where Databricks makes no scope of such a name."""
    if not _SCOPE.fullmatch(value):
        raise UsageError(f"{value!r} is no name of a scope of secrets. Give 1 to 128 letters, digits and - _ @ .")


def must_be_project(value: str) -> None:
    """Raise UsageError where W&B or a cloud's tags refuse the name."""
    if not _PROJECT.fullmatch(value):
        raise UsageError(
            f"{value!r} cannot be a project of W&B and a tag of machines. Give at most 63 of the letters a to z, "
            "digits and - _ . without spaces, the first a letter or digit."
        )
