"""The last value of a metric, for scripts that read back what they logged."""

from __future__ import annotations

from typing import Any


def kept(value: Any) -> Any:
    """The value without its gradient, so that remembering it keeps no graph alive; no device is synchronised."""
    return value.detach() if hasattr(value, "detach") else value


def read(value: Any) -> Any:
    """The Python number behind a scalar of NumPy, torch or JAX; everything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
