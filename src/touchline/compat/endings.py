"""How a run ends when the script does not say: an exception on its way is the truth, whoever calls."""

from __future__ import annotations

from touchline.tracking.run import Run, Status, _verdict


def end(run: Run, error: BaseException | None) -> Status:
    """End a run as ``error`` says (failed, killed by Ctrl-C), without one as finished; returns which.

    Waits as ``Run.finish`` does. Raises TouchlineError when the journal could not take everything.
    """
    status, reason = _verdict(error)
    run.finish(status, reason=reason)
    return status
