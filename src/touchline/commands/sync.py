"""``touchline sync``: deliver what the sinks lack, once or for as long as one watches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from touchline.commands.options import Home, Last, Runs, parse, settings_of, some_runs
from touchline.errors import TouchlineError, UsageError

if TYPE_CHECKING:
    from touchline.commands.progress import Progress
    from touchline.config import Settings
    from touchline.tracking.sync import SyncReport

SECONDS = 300.0
_ROUND_SECONDS = 10.0
"""A watch looks for new runs at least so often."""
_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 30.0


@dataclass(frozen=True)
class SyncOptions:
    """Send what the sinks have not received yet; the journals keep it until they have."""

    runs: Runs = ()
    last: Last = False
    all: bool = False
    """Every run of the home, as when none is named."""
    watch: bool = False
    """Go on delivering what comes until Ctrl-C."""
    sink: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")] = ()
    """Only this sink; may be given more than once."""
    timeout: Annotated[
        float | None,
        tyro.conf.arg(
            metavar="S", help="Seconds to keep trying.", help_behavior_hint="(default: 300; no end with --watch)"
        ),
    ] = None
    home: Home = None


def sync(arguments: list[str]) -> int:
    """``touchline sync [RUN...]``: 0 when nothing is missing anywhere, else 1 and sentences that say what."""
    options = parse(SyncOptions, arguments, "sync")
    if options.all and (options.runs or options.last):
        raise UsageError("--all means every run, so name none with it.")
    if options.timeout is not None and not options.timeout >= 0:
        raise UsageError(f"--timeout is {options.timeout:g}. Give at least 0 seconds.")
    settings = settings_of(options.home)
    from touchline.commands.progress import Progress
    from touchline.tracking.sinks import known_sinks

    sinks = list(dict.fromkeys(options.sink)) or list(settings.sinks)
    known_sinks(sinks)
    named = some_runs(settings, options.runs, options.last) if options.runs or options.last else None
    with Progress(lines=options.watch) as progress:
        if options.watch:
            _watch(settings, named, sinks, options.timeout, progress)
        else:
            _once(settings, named, sinks, SECONDS if options.timeout is None else options.timeout, progress)
    return _report(settings, named, sinks)


def _once(
    settings: Settings, named: Sequence[str] | None, sinks: Sequence[str], timeout: float, progress: Progress
) -> bool:
    """Deliver; True when everything is there."""
    from touchline.tracking.sync import sync as send

    return send(settings, _readable(settings, named), sinks, timeout=timeout, progress=progress.update).complete


def _readable(settings: Settings, named: Sequence[str] | None) -> list[str]:
    """The runs to deliver; one whose journal is damaged holds up no other, and is told in the end."""
    from touchline.tracking.journal import FILE_NAME, JournalReader
    from touchline.tracking.sync import run_ids

    readable = []
    for run_id in run_ids(settings) if named is None else named:
        try:
            JournalReader(settings.run_directory(run_id) / FILE_NAME).close()
        except TouchlineError:
            continue
        readable.append(run_id)
    return readable


def _watch(
    settings: Settings, named: Sequence[str] | None, sinks: Sequence[str], timeout: float | None, progress: Progress
) -> None:
    """Deliver again and again; a far side that does not answer is asked less and less often."""
    deadline = None if timeout is None else time.monotonic() + timeout
    rest = _REST_SECONDS
    try:
        while deadline is None or time.monotonic() < deadline:
            before = progress.delivered
            left = _ROUND_SECONDS if deadline is None else min(_ROUND_SECONDS, deadline - time.monotonic())
            complete = _once(settings, named, sinks, max(left, 0.0), progress)
            stuck = not complete and progress.delivered == before
            rest = min(2 * rest, _LONGEST_REST_SECONDS) if stuck else _REST_SECONDS
            pause = rest if deadline is None else min(rest, deadline - time.monotonic())
            time.sleep(max(pause, 0.0))
    except KeyboardInterrupt:
        progress.update(_now(settings, named, sinks))
        progress.stopped()


def _now(settings: Settings, named: Sequence[str] | None, sinks: Sequence[str]) -> SyncReport:
    from touchline.tracking.delivery import read_delivery
    from touchline.tracking.sync import SyncReport

    runs = _readable(settings, named)
    return SyncReport(tuple(read_delivery(settings.run_directory(run_id), sinks) for run_id in runs))


def _report(settings: Settings, named: Sequence[str] | None, sinks: Sequence[str]) -> int:
    from touchline.tracking.narrate import clean
    from touchline.tracking.status import gaps, read_status, set_aside
    from touchline.tracking.sync import run_ids

    missing: list[str] = []
    refused: list[str] = []
    chosen = run_ids(settings) if named is None else named
    for run_id in chosen:
        try:
            status = read_status(settings.run_directory(run_id), sinks)
        except TouchlineError as error:
            missing.append(str(error))
            continue
        missing += gaps(status)
        refused += set_aside(status)
    for sentence in (*refused, *missing):
        print(clean(sentence))
    if missing:
        return 1
    who = " and ".join(sinks) if len(sinks) < 3 else ", ".join(sinks[:-1]) + f" and {sinks[-1]}"
    runs = f"{len(chosen):,} run{'' if len(chosen) == 1 else 's'}"
    but = " but what was set aside" if refused else ""
    has = f"{'has' if len(sinks) == 1 else 'have'} all{' else' if refused else ''}"
    print(f"Nothing is missing{but}: {who} {has} of {runs}.")
    return 0
