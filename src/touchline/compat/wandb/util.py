"""The one helper of ``wandb.util`` that scripts use."""

from __future__ import annotations

import secrets

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def generate_id(length: int = 8) -> str:
    """A random run id of lower-case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
