"""``touchline show``: a run on the terminal: its curves, parameters, tags, results, alerts and problems."""

from __future__ import annotations

import fnmatch
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.options import Home, Last, one_run, parse, settings_of
from touchline.errors import UsageError, nearest

if TYPE_CHECKING:
    from touchline.tracking.curves import Curve
    from touchline.tracking.journal import Event
    from touchline.tracking.status import RunStatus

MOST_CURVES = 6
"""Curves that are drawn when none is named."""
LONGEST_VALUE = 400
"""Characters of a parameter, a tag or a result that are shown; ``touchline export RUN --format jsonl`` has all."""
_KINDS = ("params", "tags", "summary", "goal", "alert", "decision", "problem")


@dataclass(frozen=True)
class ShowOptions:
    """Show a run: its curves, parameters, tags, results, alerts and problems."""

    words: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(
            metavar="RUN [METRIC ...]",
            help="Id of a run, a unique beginning of it, or: last. Then the metrics to draw, such as 'train/*'.",
            help_behavior_hint="",
        ),
    ] = ()
    last: Last = False
    width: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help="Characters a line.", help_behavior_hint="(default: the terminal's, or 80)"),
    ] = None
    home: Home = None


def show(arguments: list[str]) -> int:
    """``touchline show RUN [METRIC...]``."""
    options = parse(ShowOptions, arguments, "show")
    settings = settings_of(options.home)
    if options.last:
        run_id, wanted = one_run(settings, "", True, "show"), options.words
    else:
        run_id, wanted = one_run(settings, (options.words or ("",))[0], False, "show"), options.words[1:]
    from touchline.tracking.curves import read_curves
    from touchline.tracking.journal import FILE_NAME, JournalReader
    from touchline.tracking.status import read_status

    directory = settings.run_directory(run_id)
    status = read_status(directory)
    with JournalReader(directory / FILE_NAME) as journal:
        events = journal.of_kind(_KINDS)
        curves = read_curves(journal)
    goals = {name: str(goal) for event in events if event.kind == "goal" for name, goal in event.payload.items()}
    drawn = _chosen(curves, wanted, goals, run_id)
    width = max(options.width or shutil.get_terminal_size((80, 24)).columns, 40)
    _head(status)
    _draw(drawn, width)
    if left := [curve for name, curve in curves.items() if name not in {one.name for one in drawn}]:
        _section(f"Metrics that are not drawn: name them, as in: touchline show {run_id} '{left[0].name}'")
        _list(left)
    for kind, title in (("summary", "Results"), ("params", "Parameters"), ("tags", "Tags")):
        _pairs(title, _newest(events, kind))
    _words(events)
    return 0


def _chosen(curves: Mapping[str, Curve], wanted: Sequence[str], goals: Mapping[str, str], run_id: str) -> list[Curve]:
    """The curves to draw: those named (a pattern may mean many), else those with a goal, then what is learned."""
    if not wanted:
        from touchline.tracking.curves import is_of_machine

        order = sorted(curves, key=lambda name: (name not in goals, is_of_machine(name)))
        return [curves[name] for name in order[:MOST_CURVES]]
    names: list[str] = []
    for word in wanted:
        found = [word] if word in curves else [name for name in curves if fnmatch.fnmatchcase(name, word)]
        if not found:
            guess = nearest(word, curves)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise UsageError(f"The run {run_id} has no metric {word!r}.{hint} List all with: touchline show {run_id}")
        names += found
    return [curves[name] for name in dict.fromkeys(names)]


def _section(text: str) -> None:
    from touchline.commands.tables import title

    print()
    title(text)


def _pairs(name: str, values: Mapping[str, Any]) -> None:
    from rich.cells import cell_len

    from touchline.tracking.narrate import clean, number

    if values:
        _section(name)
        margin = min(max(cell_len(clean(key)) for key in values), 40)
        for key, value in values.items():
            text = number(value)
            cut = f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)" if len(text) > LONGEST_VALUE else text
            print(f"  {clean(key)}{' ' * (margin - cell_len(clean(key)))}  {cut}")


def _head(status: RunStatus) -> None:
    from touchline.quantities import duration, moment
    from touchline.tracking.narrate import clean

    name = "" if status.name in ("", status.id) else f" ({status.name})"
    _section(f"{status.id}{name}: {status.job}, {status.state}")
    took = f"{moment(status.started)}, {duration(status.seconds) or '0 s'}, {status.events:,} events"
    print(took + ("" if status.last_step is None else f", step {status.last_step:,}"))
    if status.reason:
        print(clean(status.reason))
    if status.attempts > 1:
        times = "once" if status.attempts == 2 else f"{status.attempts - 1} times"
        print(
            f"It went back to an earlier step {times}; only the newest attempt is shown. The others: "
            f"touchline export {status.id} --all-attempts"
        )
    for sink in status.sinks:
        if sink.url:
            print(f"{sink.sink}: {sink.url}")


def _draw(curves: Sequence[Curve], width: int) -> None:
    from touchline.commands.chart import chart, describe
    from touchline.commands.tables import coloured

    if curves and not _can_show("⣿"):
        _section(
            f"The encoding of this output, {sys.stdout.encoding}, has no dots to draw with. "
            "Set PYTHONIOENCODING=utf-8 to see the curves."
        )
        _list(curves)
        return
    for curve in curves:
        _section(curve.name)
        coloured(describe(curve), style="dim")
        print("\n".join(chart(curve, width)))


def _list(curves: Iterable[Curve]) -> None:
    from touchline.commands.chart import describe
    from touchline.tracking.narrate import clean

    for curve in curves:
        print(f"  {clean(curve.name)}: {describe(curve)}")


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _newest(events: Iterable[Event], kind: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for event in events:
        if event.kind == kind:
            merged.update(event.payload)
    return merged


def _words(events: Sequence[Event]) -> None:
    from touchline.tracking.narrate import narrate

    for kind, title in (("decision", "Decisions"), ("alert", "Alerts"), ("problem", "Problems")):
        if found := [event for event in events if event.kind == kind]:
            _section(title)
            print("\n".join(f"  {line}" for event in found for line in narrate(event)))
