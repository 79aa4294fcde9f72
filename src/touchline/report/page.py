"""The page: everything that is known of a subject, read once, put into one file of HTML."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from touchline import __version__
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import whole_file
from touchline.quantities import duration
from touchline.report import pictures
from touchline.report.ancestry import Ancestry, read_ancestry
from touchline.report.charts import Charts, headlines, learning, machine
from touchline.report.curves import Curve, read_curves
from touchline.report.facts import Facts, Mark, read_facts, study_of
from touchline.report.films import Films, embed
from touchline.report.gate import Gate, read_gate
from touchline.report.markup import environment, script_data
from touchline.report.siblings import curves_of, siblings_of
from touchline.report.study import StudyFacts, read_study
from touchline.report.subject import Recorded, Subject, recorded
from touchline.report.words import Head, head, tiles
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.status import SinkStatus, gaps

T = TypeVar("T")
logger = logging.getLogger("touchline")

LARGEST = 15_000_000
"""Bytes of a page, videos included."""
_MARGIN = 50_000


@dataclass(frozen=True)
class Learning:
    """The charts of one job."""

    job: str
    anchor: str
    facts: Facts
    charts: Charts
    runs: int
    """Runs whose curves are drawn."""


@dataclass(frozen=True)
class Parameter:
    """One line of the configuration."""

    name: str
    value: str
    before: str | None
    """The champion's, None where it has none of this name."""

    @property
    def differs(self) -> bool:
        """Whether the champion had another."""
        return self.before is not None and self.before != self.value


@dataclass(frozen=True)
class Configuration:
    """What one job was given."""

    job: str
    run: str
    parameters: tuple[Parameter, ...]
    compared: bool
    """Whether the champion's are known."""

    @property
    def different(self) -> int:
        """How many differ."""
        return sum(one.differs for one in self.parameters)


@dataclass(frozen=True)
class Contents:
    """All that a page tells."""

    subject: Subject
    head: Head
    tiles: tuple[tuple[str, str, str], ...]
    runs: tuple[Facts, ...]
    stages: tuple[pictures.Stage, ...]
    learning: tuple[Learning, ...]
    machine: Charts
    alerts: tuple[tuple[Facts, Mark], ...]
    decisions: tuple[tuple[Facts, Mark], ...]
    """All but the one that the head tells."""
    gate: Gate | None
    ancestry: Ancestry | None
    study: StudyFacts | None
    configurations: tuple[Configuration, ...]
    missing: tuple[str, ...]
    """Sentences on what could not be read."""
    tracks: tuple[str, ...]
    """Every sink that one of the runs has."""
    undelivered: tuple[str, ...]
    """Sentences on what they lack."""
    films: Films = field(default_factory=Films)


@dataclass(frozen=True)
class Report:
    """A page that was written."""

    path: Path
    size: int
    """Bytes."""
    runs: tuple[str, ...]


def write_report(subject: Subject, settings: Settings, target: Path, jobs: Sequence[str] = ()) -> Report:
    """Write the page of ``subject`` to ``target``, whole or not at all.

    ``jobs``: those of a pipeline in order, so that the ones that have not begun are drawn too. Raises TouchlineError
    when no journal of the subject can be read, or the file cannot be written.
    """
    contents = read_contents(subject, settings, jobs)
    text = render(contents).encode()
    with whole_file(target, private=True) as file:
        file.write(text)
    return Report(target, len(text), subject.runs)


def read_contents(subject: Subject, settings: Settings, jobs: Sequence[str] = ()) -> Contents:
    """Read everything but the videos."""
    missing: list[str] = []
    found = (_told(missing, functools.partial(read_facts, settings.run_directory(run))) for run in subject.runs)
    runs = tuple(facts for facts in found if facts is not None)
    if not runs:
        raise TouchlineError(missing[0] if missing else f"The {subject.kind} {subject.name} has no run to report.")
    newest = {facts.job: facts for facts in runs}
    grouped = subject.kind == "group"
    curves = {facts.id: _curves(facts) for facts in (newest.values() if grouped else runs)}
    known = list(recorded(settings))
    chapters = tuple(
        chapter
        for number, (job, facts) in enumerate(newest.items())
        if (chapter := _learning(number, job, facts, runs, curves, known, settings))
    )
    evidence = next((facts.evidence for facts in reversed(runs) if facts.evidence), None)
    ancestry = _told(missing, lambda: read_ancestry(runs, settings))
    study = next(filter(None, map(study_of, reversed(runs))), "")
    stages = _stages(newest, jobs, {chapter.job for chapter in chapters}) if subject.kind == "pipeline" else ()
    costs = {run: {name: curve.last for name, curve in each.items()} for run, each in curves.items()}
    return Contents(
        subject=subject,
        head=head(subject, runs, stages),
        tiles=tiles(runs, costs),
        runs=runs,
        stages=stages,
        learning=chapters,
        machine=machine(tuple(facts for facts in runs if facts.id in curves), curves),
        alerts=tuple((facts, mark) for facts in runs for mark in facts.alerts),
        decisions=tuple((facts, mark) for facts in runs for mark in facts.decisions)[:-1],
        gate=None if evidence is None else _told(missing, lambda: read_gate(evidence)),
        ancestry=ancestry,
        study=_told(missing, lambda: read_study(settings, study)) if study else None,
        configurations=tuple(_configuration(facts, ancestry) for facts in newest.values() if facts.params),
        missing=tuple(missing),
        tracks=tuple(dict.fromkeys(sink.sink for facts in runs for sink in facts.status.sinks)),
        undelivered=undelivered(runs),
    )


def render(contents: Contents) -> str:
    """The page as HTML: first without videos, then with as many as there is room for."""
    films = [film for facts in contents.runs for film in facts.films]
    text = _render(contents, embed(films, 0))
    if films:
        text = _render(contents, embed(films, LARGEST - len(text.encode()) - _MARGIN))
    return text


def _render(contents: Contents, films: Films) -> str:
    charts = {chart.id: chart.data for chapter in contents.learning for chart in chapter.charts}
    charts |= {chart.id: chart.data for chart in contents.machine}
    plots = {f"study-{n}": plot.figure for n, plot in enumerate(contents.study.plots)} if contents.study else {}
    return (
        environment("touchline.report")
        .get_template("report.html")
        .render(
            contents=contents,
            films=films,
            pictures=pictures,
            data=script_data({"charts": charts, "plots": plots}),
            plotly=_plotly() if charts or plots else "",
            made=time.time(),
            version=__version__,
        )
    )


def _plotly() -> Any:
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def _told(missing: list[str], read: Callable[[], T]) -> T | None:
    """What was read; what cannot be is told in the page, which has the rest all the same."""
    try:
        return read()
    except TouchlineError as error:
        logger.warning("%s", error)
        missing.append(str(error))
        return None


def _curves(facts: Facts) -> dict[str, Curve]:
    with JournalReader(facts.directory / FILE_NAME) as journal:
        return read_curves(journal)


def _learning(
    number: int,
    job: str,
    facts: Facts,
    runs: Sequence[Facts],
    curves: Mapping[str, Mapping[str, Curve]],
    known: Sequence[Recorded],
    settings: Settings,
) -> Learning | None:
    mine = curves[facts.id]
    names = headlines(mine, facts.goals)
    same = {one.id: one for one in (*(one for one in runs if one.job == job), *siblings_of(facts, known, settings))}
    others = curves_of([one for one in same.values() if one.id != facts.id], names) if names else {}
    charts = learning(f"chart-{number}", {**others, facts.id: mine}, facts, facts.alerts)
    return Learning(job, f"learning-{number}", facts, charts, 1 + len(others)) if charts else None


def _stages(newest: Mapping[str, Facts], jobs: Sequence[str], charted: set[str]) -> tuple[pictures.Stage, ...]:
    names = list(dict.fromkeys([*jobs, *newest]))
    total = sum(facts.status.seconds for facts in newest.values()) or 1.0
    return tuple(
        pictures.Stage(
            name,
            newest[name].status.state if name in newest else "planned",
            duration(newest[name].status.seconds) if name in newest else "",
            newest[name].status.seconds / total if name in newest else 0.0,
            f"#job-{name}" if name in newest else "",
        )
        for name in names
    )


def undelivered(runs: Sequence[Facts]) -> tuple[str, ...]:
    """A sentence for each run and sink that lacks something, or one for all runs of which it is the same.

    What is on its way while a run is on is no gap.
    """
    found: list[str] = []
    for sink in dict.fromkeys(sink.sink for facts in runs for sink in facts.status.sinks):
        lacking = [
            (facts, own)
            for facts in runs
            if (own := facts.status.sink(sink)) and gaps(facts.status, [sink]) and not _on_its_way(facts, own)
        ]
        if len(lacking) > 2 and len({own.last_error for _, own in lacking}) == 1:
            why = f" {lacking[0][1].last_error.rstrip('. ')}." if lacking[0][1].last_error else ""
            waiting = sum(own.waiting for _, own in lacking)
            found.append(
                f"{sink} lacks {waiting:,} events of {len(lacking)} runs.{why} Send them with: touchline sync"
            )
        else:
            found += [sentence for facts, _ in lacking for sentence in gaps(facts.status, [sink])]
    return tuple(found)


def _on_its_way(facts: Facts, sink: SinkStatus) -> bool:
    return facts.status.ended is None and sink.state in ("live", "starting") and not sink.last_error


def _configuration(facts: Facts, ancestry: Ancestry | None) -> Configuration:
    before = ancestry.params.get(facts.job) if ancestry else None
    parameters = tuple(
        Parameter(name, str(value), None if before is None or name not in before else str(before[name]))
        for name, value in facts.params.items()
    )
    return Configuration(facts.job, facts.id, parameters, before is not None)
