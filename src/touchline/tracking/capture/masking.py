"""Secrets are never recorded: values behind telling names are masked, credentials leave URIs."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
_SECRET = re.compile(r"key|token|password|passwd|secret|credential", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_ASSIGNED = re.compile(
    r"""((?:api_?key|access_?key|secret|token|passwd|password|credential)\w*["']?\]?\s*(?:[=:]|,)\s*[rbf]?)"""
    r"""(["'])(?!\s*\2)[^"'\n]+\2""",
    re.IGNORECASE,
)
"""A literal given to a name that tells of a secret; ``key`` alone is left, since jax.random and dicts have keys."""
_SHELL = re.compile(
    r"^(?=\s*[+-]?\s*[%!])(.*?\w*(?:key|token|passw|secret)\w*[=\s]\s*)([^\s\"'-][^\s\"']*)",
    re.IGNORECASE | re.MULTILINE,
)
"""The same in a notebook's ``%env NAME=value`` or ``!export NAME=value``."""


def without_credentials(text: str) -> str:
    """Strip ``user:password@`` from every URI in a text."""
    return _CREDENTIALS.sub("", text)


def mask_arguments(arguments: Iterable[str]) -> list[str]:
    """Mask the values of arguments whose name contains key, token, password, secret or credential.

    Known forms: ``--api-key=…``, ``--api-key …``, ``-api_key …`` and ``API_KEY=…``.
    """
    masked: list[str] = []
    telling = False
    for argument in map(str, arguments):
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-") and len(argument) > 1
        if telling and not is_option:
            masked.append(MASK)
        elif equals and value and _SECRET.search(name):
            masked.append(f"{name}={MASK}")
        else:
            masked.append(without_credentials(argument))
        telling = is_option and not equals and _SECRET.search(argument) is not None
    return masked


def mask_source(text: str) -> str:
    """Mask the literals that source code gives to names such as api_key, token, password or secret."""
    text = _ASSIGNED.sub(rf"\1\2{MASK}\2", without_credentials(text))
    return _SHELL.sub(rf"\1{MASK}", text)
