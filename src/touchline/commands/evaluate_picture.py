"""How an evaluation looks: tables of scores, of episodes and of the score's terms, and sentences that judge them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from touchline.gates.statistics import Interval

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from touchline.jobs.evaluation import Comparison, Findings, Series, TaskFigures

PLAIN_WIDTH = 120
"""Columns where there is no terminal."""
NEGLIGIBLE = 1e-3
"""A difference of scores that nobody needs to be told of."""
_HEADINGS = {
    "perturbed": "On {} perturbed scenarios a task",
    "nominal": "On unperturbed official resets",
    "seeded": "On {} seeds a task, scored by the return",
}


_DOES = {"touch": "touches the ball", "goal": "scores a goal"}


def show(found: Sequence[tuple[Series, Findings]], *, is_soccer: bool) -> None:
    """Print everything about every series."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    fall = "falls" if is_soccer else "ends early"
    for series, findings in found:
        _show(console, series, findings, fall)


def _show(console: Console, series: Series, findings: Findings, fall: str) -> None:
    ours = next(iter(findings.standings))
    tasks = findings.standings[ours].tasks
    most = max(figures.episodes for figures in tasks.values())
    console.print()
    console.rule(_HEADINGS[series.kind].format(most), align="left", style="bold")
    if series.kind == "nominal" and (alone := [task for task, one in tasks.items() if one.episodes == 1 < most]):
        one_tells_all = "starts alike for every seed, so one episode tells all; of the others"
        console.print(f"  {', '.join(alone)} {one_tells_all} there are {most}.")
    console.print(_scores(findings, fall))
    if series.kind != "nominal":
        console.print(_episodes(ours, tasks, fall))
        console.print(_terms(ours, tasks))
    for sentence in sentences(findings, fall):
        console.print(f"  {sentence}", soft_wrap=not console.is_terminal)


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


def _scores(findings: Findings, fall: str) -> Table:
    columns = ("task", "player", ">score", ">95 % interval", f">{fall}", ">physics steps")
    table = _table("Score, higher is better", *columns)
    ours = next(iter(findings.standings))
    rows: list[list[str]]
    for task in findings.standings[ours].tasks:
        rows = []
        for name, standing in findings.standings.items():
            figures = standing.tasks[task]
            rows.append(
                [
                    "" if rows else task,
                    name,
                    number(figures.score.mean),
                    interval(figures.score),
                    percent(figures.shares["fall"].mean),
                    f"{figures.physics_steps.mean:,.0f}",
                ]
            )
        for row in rows:
            table.add_row(*row, end_section=row is rows[-1])
    if len(findings.standings[ours].tasks) > 1:
        for name, standing in findings.standings.items():
            first = "mean of tasks" if name == ours else ""
            table.add_row(first, name, number(standing.mean_score.mean), interval(standing.mean_score), "", "")
    return table


def _episodes(ours: str, tasks: Mapping[str, TaskFigures], fall: str) -> Table:
    table = _table(f"Episodes of {ours}, with 95 % intervals", "", *(f">{task}" for task in tasks))
    shares = list(dict.fromkeys(name for figures in tasks.values() for name in figures.shares))
    names = {"fall": fall, **_DOES}
    for name in shares:
        cells = (figures.shares.get(name) for figures in tasks.values())
        table.add_row(names.get(name, name), *("" if cell is None else share(cell) for cell in cells))
    units = {"touches": "touches an episode", "distance": "metres from its start"}
    for name in dict.fromkeys(name for figures in tasks.values() for name in figures.means):
        cells_of = (figures.means.get(name) for figures in tasks.values())
        table.add_row(units.get(name, name), *("" if cell is None else number(cell) for cell in cells_of))
    table.add_row(
        "physics steps",
        *(f"{one.physics_steps.mean:,.0f} {interval(one.physics_steps, 0)}" for one in tasks.values()),
    )
    table.add_row("ends", *(", ".join(f"{n} {end}" for end, n in one.ends.items()) for one in tasks.values()))
    return table


def _terms(ours: str, tasks: Mapping[str, TaskFigures]) -> Table:
    title = f"Where the score of {ours} comes from: what a term adds, in how many episodes"
    table = _table(title, "term", *(f">{task}" for task in tasks))
    for name in dict.fromkeys(name for figures in tasks.values() for name in figures.terms):
        cells = (figures.terms.get(name) for figures in tasks.values())
        table.add_row(
            name, *("" if term is None else f"{number(term.mean)}  {percent(term.share):>5}" for term in cells)
        )
    table.add_row("score", *(number(figures.score.mean) + " " * 7 for figures in tasks.values()))
    return table


def sentences(findings: Findings, fall: str) -> Iterator[str]:
    """Say what the figures mean, and what they do not tell."""
    ours, *_ = findings.standings
    tasks = findings.standings[ours].tasks
    yield f"{ours} scores {_with_interval(findings.standings[ours].mean_score)}" + (
        " on average over tasks." if len(tasks) > 1 else f" on {next(iter(tasks))}."
    )
    for name, comparison in findings.against.items():
        yield from _compared(name, comparison)
    episodes = sum(figures.episodes for figures in tasks.values())
    words = {"fall": fall, **_DOES}
    counts = {
        name: sum(round(one.shares[name].mean * one.episodes) for one in tasks.values())
        for name in words
        if all(name in one.shares for one in tasks.values())
    }
    does = [f"{words[name]} in {count or 'none'}" for name, count in counts.items()]
    yield f"Of {episodes} episodes it {' and '.join(filter(None, (', '.join(does[:-1]), does[-1])))}."


def _compared(name: str, comparison: Comparison) -> Iterator[str]:
    mean, tasks = comparison.mean, comparison.tasks
    if mean.method == "point" and mean.mean == 0:
        yield f"It scores exactly what {name} scores, in every scenario."
        return
    if mean.method in ("none", "point"):
        verdict = "the differences do not vary" if mean.method == "point" else "one episode alone has no interval"
    elif max(-mean.low, mean.high) < NEGLIGIBLE:
        verdict = "no difference that matters"
    elif mean.low > 0:
        verdict = f"better than {name}"
    elif mean.high < 0:
        verdict = f"worse than {name}"
    else:
        verdict = f"no difference from {name} can be told"
    yield f"Minus {name} on the same scenarios: {_with_interval(mean, signed=True)}: {verdict}."
    if len(tasks) > 1:
        yield f"    {'; '.join(f'{task} {_with_interval(one, signed=True)}' for task, one in tasks.items())}."


def _with_interval(value: Interval, *, signed: bool = False) -> str:
    return f"{number(value.mean, signed=signed)} {interval(value, signed=signed)}"


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A figure with a true minus."""
    rounded = round(value, digits)
    return f"{rounded or 0.0:{'+' if signed and rounded else ''},.{digits}f}".replace("-", "−")


def interval(value: Interval, digits: int = 3, *, signed: bool = False) -> str:
    """The bounds, or that there are none."""
    if value.method in ("none", "point"):
        return "(no interval)" if value.method == "none" else "(no variance)"
    return f"[{number(value.low, digits, signed=signed)}, {number(value.high, digits, signed=signed)}]"


def percent(value: float) -> str:
    """A share: whole percents, and never 0 % or 100 % for what is neither."""
    digits = 1 if 0 < value < 0.01 or 0.99 < value < 1 else 0
    return f"{100 * value:.{digits}f} %"


def share(value: Interval) -> str:
    """A share with its exact bounds."""
    return f"{percent(value.mean)} [{percent(value.low)[:-2]}, {percent(value.high)}]"
