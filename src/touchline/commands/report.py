"""``touchline report``: one page of HTML on a run, a pipeline or a group, also kept with its run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from touchline.commands.options import Home, parse, refuse_output, settings_of
from touchline.errors import TouchlineError, UsageError


@dataclass(frozen=True)
class ReportOptions:
    """Write what happened as one page of HTML that needs no network, and keep it with its run.

    Example: touchline report --last
    """

    subject: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(
            metavar="PIPELINE|RUN",
            help="Id of a pipeline or a run, a group's name, a unique beginning of one, or: last.",
            help_behavior_hint="",
        ),
    ] = ""
    last: Annotated[
        bool, tyro.conf.arg(help="The run that was started or resumed last, with the pipeline that it belongs to.")
    ] = False
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: NAME.html)")
    ] = None
    """The page."""
    overwrite: bool = False
    """Replace the page that is there."""
    file_only: bool = False
    """Write the file and log it nowhere."""
    home: Home = None


def report(arguments: list[str]) -> int:
    """``touchline report PIPELINE|RUN|--last``."""
    options = parse(ReportOptions, arguments, "report")
    settings = settings_of(options.home)
    from touchline.tracking.find import LAST

    if options.last and options.subject not in ("", LAST):
        raise UsageError(f"Give a pipeline or run, or --last, not both: {options.subject!r}.")
    if not options.last and not options.subject:
        raise UsageError("A report of what? Try: touchline report --last. List the runs with: touchline runs")
    from touchline.jobs.base import JOBS
    from touchline.report import find_subject, publish, write_report
    from touchline.tracking.events import slug

    subject = find_subject(settings, LAST if options.last else options.subject)
    target = options.output or Path(f"{slug(subject.name)}.html")
    refuse_output(target, options.overwrite, "page", "report.html")
    written = write_report(subject, settings, target, tuple(JOBS))
    print(written.path, flush=True)
    if not options.file_only:
        try:
            gaps = publish(written.path, written.runs[-1], settings)
        except TouchlineError as error:
            gaps = (str(error),)
        for sentence in gaps:  # the page itself is there, so this is no failure
            print(f"touchline: {sentence}", file=sys.stderr)
    return 0
