"""``touchline status`` and ``touchline runs``: what became of the runs, and how far the sinks have come."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.options import Home, Json, Last, Runs, parse, settings_of, some_runs
from touchline.config import Settings
from touchline.errors import TouchlineError, at_least

if TYPE_CHECKING:
    from touchline.tracking.status import RunStatus, SinkStatus


@dataclass(frozen=True)
class StatusOptions:
    """Show each run's state and what each sink has of it."""

    runs: Runs = ()
    last: Last = False
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class RunsOptions:
    """List the runs of the home, the one that was started or resumed last first."""

    limit: Annotated[
        int | None, tyro.conf.arg(metavar="N", help="Show only so many.", help_behavior_hint="(default: all)")
    ] = None
    json: Json = False
    home: Home = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            at_least(1, self, "limit")


def status(arguments: list[str]) -> int:
    """``touchline status [RUN...]``."""
    options = parse(StatusOptions, arguments, "status")
    settings = settings_of(options.home)
    found = _read(settings, some_runs(settings, options.runs, options.last))
    if options.json:
        print(json.dumps([_plain(run) for run in found], indent=1))
        return 0
    if not found:
        print(f"The home {settings.home} has no runs yet.")
        return 0
    _table(found)
    _words(found)
    return 0


def runs(arguments: list[str]) -> int:
    """``touchline runs``."""
    options = parse(RunsOptions, arguments, "runs")
    settings = settings_of(options.home)
    found = sorted(_read(settings, some_runs(settings, ())), key=lambda run: run.last_start, reverse=True)
    shown = found[: options.limit]
    if options.json:
        print(json.dumps([_plain(run) for run in shown], indent=1))
        return 0
    if not found:
        print(f"The home {settings.home} has no runs yet.")
        return 0
    _list(shown)
    if len(found) > len(shown):
        print(f"{len(found) - len(shown):,} older runs are not shown; see them without --limit.")
    return 0


def _table(found: Sequence[RunStatus]) -> None:
    """One line for each run and sink; on a narrow terminal the run has a line of its own above its sinks."""
    from touchline.commands.tables import aligned, coloured, fits, show, title

    columns = ("sink", "delivery", ">delivered", ">waiting", ">set aside", ">lag", ">slowest")
    rows = [(run, _figures(sink)) for run in found for sink in run.sinks or (None,)]
    cells = [(run.id, run.state, *figures) for run, figures in rows]
    if fits(("run", "state", *columns), cells):
        show(("run", "state", *columns), cells)
        return
    lines = aligned(columns, [figures for _, figures in rows])
    title(f"  {lines[0]}")
    before = None
    for (run, figures), line in zip(rows, lines[1:], strict=True):
        if run is not before:
            coloured(f"{run.id}  {run.state}", (run.state,))
            before = run
        coloured(f"  {line}", figures)


def _figures(sink: SinkStatus | None) -> tuple[str, ...]:
    from touchline.quantities import duration

    if sink is None:
        return ("none", *["–"] * 6)
    counts = (f"{sink.delivered:,}", f"{sink.waiting:,}", f"{sum(refusal.events for refusal in sink.set_aside):,}")
    return (sink.sink, sink.state, *counts, duration(sink.lag_seconds) or "–", duration(sink.slowest_seconds) or "–")


def _words(found: Sequence[RunStatus]) -> None:
    """What no column has room for: reasons and refusals."""
    from touchline.tracking.narrate import clean
    from touchline.tracking.status import set_aside

    words = [f"{run.id} is {run.state}: {run.reason}" for run in found if run.reason]
    words += [
        f"{sink.sink} of run {run.id}, last error: {sink.last_error}"
        for run in found
        for sink in run.sinks
        if sink.last_error
    ]
    words += [sentence for run in found for sentence in set_aside(run)]
    if words:
        print("\n" + "\n".join(clean(sentence) for sentence in words))


def _list(shown: Sequence[RunStatus]) -> None:
    """One line a run; on a narrow terminal two, without what the id says."""
    from touchline.commands.tables import aligned, coloured, fits, show, title
    from touchline.quantities import duration, moment

    rows = []
    for run in shown:
        sinks = ", ".join(
            f"{sink.sink} {f'{sink.waiting:,} waiting' if sink.waiting else sink.state}" for sink in run.sinks
        )
        step = "–" if run.last_step is None else f"{run.last_step:,}"
        name = "" if run.name == run.id else run.name
        rows.append((run.id, run.job, name, moment(run.started), duration(run.seconds), run.state, step, sinks))
    columns = ("run", "job", "name", "started", ">duration", "state", ">last step", "sinks")
    if fits(columns, rows):
        show(columns, rows)
        return
    lines = aligned(("run", "state", ">duration", ">last step"), [(row[0], row[5], row[4], row[6]) for row in rows])
    title(lines[0])
    for row, line in zip(rows, lines[1:], strict=True):
        coloured(line, (row[5],))
        coloured("  " + ", ".join(filter(None, (row[2], f"started {row[3]}", row[7]))), style="dim")


def _read(settings: Settings, run_ids: Iterable[str]) -> list[RunStatus]:
    """The status of each run; one whose journal cannot be read is told and left out."""
    from touchline.tracking.status import read_status

    found = []
    for run_id in run_ids:
        try:
            found.append(read_status(settings.run_directory(run_id)))
        except TouchlineError as error:
            print(f"touchline: {error}", file=sys.stderr)
    return found


def _plain(run: RunStatus) -> dict[str, Any]:
    values = asdict(run)
    values["seconds"] = run.seconds
    for sink in values["sinks"]:
        sink["set_aside"] = [
            {"seq": seq, "reason": reason, "events": events} for seq, reason, events, _ in sink["set_aside"]
        ]
    return values
