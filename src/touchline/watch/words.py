"""Figures as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them: ``40 s``, ``4 min``, ``2.5 h``."""
    if seconds < 90.0:
        return f"{max(seconds, 0.0):.0f} s"
    if seconds < 5_400.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3_600.0:.1f} h"
