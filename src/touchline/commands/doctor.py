"""``touchline doctor``: whether a training can start here, and how to get what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from touchline.commands.options import Home, Json, parse
from touchline.config import Settings
from touchline.errors import TouchlineError

if TYPE_CHECKING:
    from touchline.jobs.setup import Report

SCHEMA = 1


@dataclass(frozen=True)
class DoctorOptions:
    """Check what a training needs of this machine, and say how to get what is missing.

    Exits with 0 when a training can start, else with 1. A server that does not answer keeps none from starting.
    """

    json: Json = False
    home: Home = None


def doctor(arguments: list[str]) -> int:
    """``touchline doctor``.

    With ``--json`` one object is printed, whose keys stay as they are while ``schema`` is 1:

    - ``schema``: 1;
    - ``can_start``: whether a training can start here;
    - ``checks``: a list of objects with ``name``, ``level`` ("ok"; "degraded": training runs, with less;
      "missing": it cannot start), ``found`` and ``remedy`` (sentences or phrases, the latter empty when ok) and
      ``figures`` (numbers by name: ``round_trip_seconds`` of the connections, ``free_bytes`` of the disk,
      ``skew_seconds`` and ``uncertainty_seconds`` of the clock, ``gpu/…`` of the driver).

    A home that cannot be used leaves one check, called "home". More checks and figures may come.
    """
    options = parse(DoctorOptions, arguments, "doctor")
    settings = Settings.load(home=options.home)
    from touchline.jobs.setup import Check, Report, SetupConfig, examine

    try:
        settings.ensure_home()
    except TouchlineError as error:
        if not options.json:
            raise
        report = Report((Check("home", "missing", str(error)),))
    else:
        with _shown_on_a_terminal() as waiting:
            report = examine(SetupConfig(), settings, waiting)
    if options.json:
        print(json.dumps(plain(report), indent=1))
    else:
        print_report(report)
    return 0 if report.usable else 1


@contextlib.contextmanager
def _shown_on_a_terminal() -> Iterator[Callable[[Sequence[str]], None]]:
    """Show on stderr, where that is a terminal, what is waited for, as the function is told it."""
    from touchline.jobs.progress import terminal

    console = terminal(sys.stderr)
    if not console.is_terminal:
        yield lambda names: None
        return
    with console.status("Looking at this machine …") as status:
        yield lambda names: status.update(f"Waiting for the answer of: {', '.join(names)} …")


def plain(report: Report) -> dict[str, Any]:
    """The report as ``--json`` prints it."""
    checks = [dataclasses.asdict(check) for check in report.checks]
    return {"schema": SCHEMA, "can_start": report.usable, "checks": checks}


def print_report(report: Report) -> None:
    """Print the checks as a table, each remedy under its check, and the packages that are well in one row."""
    from rich.table import Table
    from rich.text import Text

    from touchline.jobs.progress import terminal
    from touchline.jobs.setup import PACKAGES
    from touchline.tracking.narrate import clean

    console = terminal()
    marks = {"ok": Text("ok", "green"), "degraded": Text("less", "yellow"), "missing": Text("missing", "red")}
    table = Table.grid(padding=(0, 2))
    well = [check for check in report.checks if check.level == "ok" and check.name in PACKAGES]
    if well:
        table.add_row(marks["ok"], "packages", ", ".join(f"{check.name} {clean(check.found)}" for check in well))
    for check in report.checks:
        if check in well:
            continue
        table.add_row(marks[check.level], Text(check.name), Text(clean(check.found)))
        if check.remedy:
            table.add_row("", "", Text(clean(check.remedy), "bold"))
    console.print(table)
    lacks = "" if report.usable else " until what is missing above is there"
    console.print(f"A training {'can' if report.usable else 'cannot'} start here{lacks}.")
