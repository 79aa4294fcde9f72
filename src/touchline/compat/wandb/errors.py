"""Errors under W&B's names, for ``except`` clauses."""

from __future__ import annotations

from touchline.errors import TouchlineError, UsageError

Error = TouchlineError


class CommError(TouchlineError):
    """Never raised: nothing here waits for a network."""


__all__ = ["CommError", "Error", "UsageError"]
