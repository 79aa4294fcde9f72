"""A run as a notebook shows it: its state, its first curves, and where it can be looked at."""

from __future__ import annotations

from pathlib import Path

from touchline.cards import card, line, table
from touchline.tracking.curves import read_curves
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.narrate import number
from touchline.tracking.status import gaps, read_status

MOST_CURVES = 8


def card_of(directory: Path) -> str:
    """The card of the run in ``directory``. Raises TouchlineError when its journal cannot be read."""
    status = read_status(directory)
    with JournalReader(directory / FILE_NAME) as journal:
        curves = read_curves(journal)
        goals = [name for event in journal.of_kind(["goal"]) for name in event.payload if name in curves]
        alerts = journal.of_kind(["alert"])
    # Those that the run wants higher or lower come first.
    names = list(dict.fromkeys([*goals, *curves]))
    drawn = [curves[name] for name in names[:MOST_CURVES]]
    rows = [
        (one.name, line(one.line(), f"{one.name} over {one.points:,} points"), number(one.last), f"{one.last_step:,}")
        for one in drawn
    ]
    step = "" if status.last_step is None else f", step {status.last_step:,}"
    more = len(curves) - len(drawn)
    sentences = [
        f"{status.job}, {status.state}{step}, {status.events:,} events",
        status.reason,
        *(f"{event.payload.get('title', 'Alert')}" for event in alerts[-3:]),
        *(gaps(status) if status.ended is not None else ()),
        f"{more} more metrics: touchline show {status.id}" if more > 0 else "",
    ]
    links = [(sink.sink, sink.url) for sink in status.sinks if sink.url]
    return card(status.id, sentences, table(("metric", "", "last", "at step"), rows), links=links)
