"""``touchline gc``: remove the runs that every far side has, after asking."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.commands.options import Home, agreed, parse, refuse_to_ask_nobody, settings_of
from touchline.errors import TouchlineError, at_least

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.tracking.gc import Candidate


@dataclass(frozen=True)
class GcOptions:
    """Remove the directories of runs that ended long ago and that every sink has; asks first.

    What is not delivered stays, and so do a run that goes on and checkpoints that MLflow does not have.
    """

    days: float = 30.0
    """Runs that ended at least so many days ago."""
    yes: bool = False
    """Do not ask."""
    dry_run: bool = False
    """Only show what would be removed."""
    set_aside: bool = False
    """Also runs with events that a sink refused, which then are gone."""
    home: Home = None

    def __post_init__(self) -> None:
        at_least(0, self, "days")


def gc(arguments: list[str]) -> int:
    """``touchline gc``."""
    options = parse(GcOptions, arguments, "gc")
    settings = settings_of(options.home)
    if not (options.yes or options.dry_run):
        refuse_to_ask_nobody()
    from touchline.commands.tables import show
    from touchline.quantities import duration, moment, size
    from touchline.tracking.gc import DAY_SECONDS, candidates, sweep
    from touchline.tracking.mlflow_archive import MlflowArchive

    found = candidates(settings, options.days * DAY_SECONDS, MlflowArchive(settings), options.set_aside)
    for candidate in found:
        if candidate.kept_because:
            print(f"{candidate.status.id} stays: {candidate.kept_because}")
    removable = [candidate for candidate in found if not candidate.kept_because]
    if not removable:
        print(f"No run ended more than {options.days:g} days ago and is delivered everywhere; nothing to remove.")
        return 0
    rows = [
        (
            one.status.id,
            one.status.state,
            moment(one.status.ended or 0.0),
            duration(one.status.seconds),
            size(one.bytes),
        )
        for one in removable
    ]
    show(("run", "state", "ended", ">duration", ">size"), rows)
    what = f"{_runs(len(removable))} ({size(sum(one.bytes for one in removable))})"
    if options.dry_run:
        print(f"{what} would be removed.")
        return 0
    if not options.yes and not agreed(f"Remove {what} from {settings.runs}? The far sides keep them. [y/N] "):
        print("Nothing was removed.")
        return 0
    sweep(settings)
    return _remove(settings, removable)


def _remove(settings: Settings, removable: Sequence[Candidate]) -> int:
    from touchline.quantities import size
    from touchline.tracking.gc import remove

    freed, count = 0, 0
    for candidate in removable:
        try:
            remove(settings, candidate.status)
        except TouchlineError as error:
            print(f"touchline: {error}", file=sys.stderr)
            continue
        freed, count = freed + candidate.bytes, count + 1
    print(f"Removed {_runs(count)}, {size(freed)}.")
    return 0 if count == len(removable) else 1


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"
