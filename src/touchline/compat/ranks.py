"""Whether this process of a distributed training records at all."""

from __future__ import annotations

import os

from touchline.config import Settings
from touchline.tracking.ranks import rank_of


def is_silent(settings: Settings) -> bool:
    """True for the processes of other ranks than 0, whose runs record nothing."""
    return bool(rank_of(os.environ)) and not settings.all_ranks
