"""What an attempt to become champion may spend of the error probability, and which scenarios it is judged on.

A *reign* is the time of one champion, named by its digest, or ``none`` before the first. Its attempts count from 1.
"""

from __future__ import annotations

import hashlib

from touchline.errors import UsageError

REIGN_ERROR = 0.05
"""The chance that in a whole reign, however many attempts it sees, a candidate passes that must not."""
SEEDS = 2**31
"""Seeds of scenarios lie below this."""


def error_of_attempt(attempt: int, reign: float = REIGN_ERROR) -> float:
    """Return the error probability that attempt 1, 2, 3 … of a reign may spend: ``reign / (k (k + 1))``.

    Over all attempts it adds up to ``reign``, because 1 / (k (k + 1)) = 1 / k - 1 / (k + 1); so by Boole's inequality
    the errors of all attempts together are no likelier than that, whatever they have in common. Raises UsageError for
    an attempt before the first.
    """
    if attempt < 1:
        raise UsageError(f"Attempts count from 1, and this is {attempt}.")
    return reign / (attempt * (attempt + 1))


def scenario_seeds(reign: str, attempt: int, task: str, count: int) -> tuple[int, ...]:
    """Return the distinct seeds of the scenarios of one task: the same everywhere, other ones for every attempt.

    Each task has its own, so that its scenarios are independent of the other tasks'. More scenarios go on from
    the fewer. ``reign`` is the digest of the champion to beat, or ``none``. Raises UsageError for fewer than 1
    scenario or for more than half as many as there are seeds.
    """
    if not 1 <= count <= SEEDS // 2:
        raise UsageError(f"There are no {count} distinct seeds of scenarios. Give 1 to {SEEDS // 2:,}.")
    found: dict[int, None] = {}
    draw = 0
    while len(found) < count:
        digest = hashlib.sha256(f"{reign}/{attempt}/{task}/{draw}".encode()).digest()
        found.setdefault(int.from_bytes(digest[:8], "big") % SEEDS)
        draw += 1
    return tuple(found)
