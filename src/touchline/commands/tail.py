"""``touchline tail``: the last events of a run as lines, from its journal alone, so that it needs no far side."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import tyro

from touchline.commands.options import Home, Last, Run, one_run, parse, settings_of
from touchline.errors import at_least

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class TailOptions:
    """Show the last events of a run; reads the journal alone, whatever the networks do."""

    run: Run = ""
    last: Last = False
    follow: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Go on until the run ends, or Ctrl-C."""
    lines: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 20
    """Events to begin with."""
    home: Home = None

    def __post_init__(self) -> None:
        at_least(0, self, "lines")


def tail(arguments: list[str]) -> int:
    """``touchline tail RUN``."""
    options = parse(TailOptions, arguments, "tail")
    settings = settings_of(options.home)
    run_id = one_run(settings, options.run, options.last, "tail")
    from touchline.tracking.journal import FILE_NAME, JournalReader
    from touchline.tracking.narrate import narrate
    from touchline.tracking.status import RUNNING, UNKNOWN, fate

    directory = settings.run_directory(run_id)
    with JournalReader(directory / FILE_NAME) as journal:
        seq = journal.before_last(options.lines)
        start, end = journal.newest("start"), journal.newest("end")
        while True:
            # Asked before reading: what a process that is gone wrote is all there.
            state = fate(directory, start, end, journal)[0] if start else UNKNOWN
            while events := journal.after(seq):
                for event in events:
                    print("\n".join(narrate(event)))
                    start = event if event.kind == "start" else start
                    end = event if event.kind == "end" else end
                seq = events[-1].seq
            if state != RUNNING or not options.follow:
                if options.follow:
                    print(f"The run {run_id} is over: {state}.")
                return 0
            print(end="", flush=True)
            time.sleep(POLL_SECONDS)
