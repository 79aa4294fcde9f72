"""``touchline export``: a run's journal as CSV, Parquet or lines of JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from touchline.commands.options import Home, Last, Run, one_run, parse, settings_of
from touchline.errors import UsageError

STDOUT = "-"


@dataclass(frozen=True)
class ExportOptions:
    """Write a run's journal to a file: its metrics as csv or parquet in long form, or every event as jsonl.

    In csv a value that is not finite is NaN, Infinity or -Infinity; times are seconds since the epoch.
    """

    run: Run = ""
    last: Last = False
    format: Literal["csv", "parquet", "jsonl"] = "csv"
    """What to write."""
    output: Annotated[str | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    """Where to; - is the standard output. Without it: RUN.FORMAT in the working directory."""
    all_attempts: bool = False
    """Also the values that a rewind superseded, with a column attempt; jsonl has them anyway."""
    home: Home = None


def export(arguments: list[str]) -> int:
    """``touchline export RUN``."""
    options = parse(ExportOptions, arguments, "export")
    settings = settings_of(options.home)
    run_id = one_run(settings, options.run, options.last, "export")
    from touchline.tracking.export import export as write

    directory = settings.run_directory(run_id)
    if options.output == STDOUT:
        if options.format == "parquet" and sys.stdout.isatty():
            raise UsageError("Parquet is not text, and the standard output is a terminal. Name a file with --output.")
        write(directory, options.format, sys.stdout.buffer, options.all_attempts)
        return 0
    target = Path(options.output or f"{run_id}.{options.format}")
    count = write(directory, options.format, target, options.all_attempts)
    print(f"{target} has {count:,} {'events' if options.format == 'jsonl' else 'values'} of run {run_id}.")
    return 0
