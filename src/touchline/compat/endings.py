"""How a run ends when the script does not say: an exception on its way is the truth, whoever calls."""

from __future__ import annotations

import sys

from touchline.tracking.run import Run


def end(run: Run) -> None:
    """End a run as what happens at the moment says: failed or killed by the exception being handled, else finished.

    Waits as ``Run.finish`` does. Raises TouchlineError when the journal could not take everything.
    """
    run.__exit__(*sys.exc_info())
