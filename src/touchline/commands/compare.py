"""``touchline compare``: versions side by side: who is champion, official scores, figures, configuration, parents."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.evaluate_picture import interval, number
from touchline.commands.lineage import registry_settings
from touchline.commands.options import Home, Json, parse
from touchline.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from touchline.catalog.about import About
    from touchline.gates import Interval
    from touchline.jobs.scores import Played, Scores

PLAIN_WIDTH = 100
"""Columns where there is no terminal."""
CHAMPION = "champion"


@dataclass(frozen=True)
class CompareOptions:
    """Show versions side by side: official scores with intervals, figures, what is configured otherwise, parents.

    Example: touchline compare ddpg_finetuned@Champion ddpg_finetuned@Candidate-Finetuned
    """

    models: Annotated[
        tyro.conf.Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="MODEL MODEL ...", help="NAME@ALIAS or NAME/VERSION.", help_behavior_hint=""),
    ] = ()
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class Compared:
    """What is known of the versions, in the order in which they were named."""

    versions: tuple[About, ...]
    scores: tuple[Scores | None, ...]
    played: tuple[Played, ...]


def compare(arguments: list[str]) -> int:
    """``touchline compare A B``."""
    options = parse(CompareOptions, arguments, "compare")
    if len(options.models) < 2:
        raise UsageError(
            "Two versions or more are compared. Try: touchline compare ddpg_finetuned@Champion ddpg_finetuned/1"
        )
    settings = registry_settings(options.home)
    from touchline.catalog import Catalog
    from touchline.catalog.about import about
    from touchline.jobs.scores import recorded

    catalog = Catalog.of(settings)
    versions = tuple(dict.fromkeys(catalog.find(reference).uri for reference in options.models))
    if len(versions) < 2:
        raise UsageError(f"{' and '.join(options.models)} are one version, {versions[0][8:]}. Name another one too.")
    told = tuple(about(catalog, catalog.find(uri)) for uri in versions)
    scores, played = recorded(catalog, told)
    found = Compared(told, tuple(scores), tuple(played))
    if options.json:
        print(json.dumps(document(found), allow_nan=False))
    else:
        _show(found)
    return 0


def document(found: Compared) -> dict[str, Any]:
    """Everything as strict JSON values; bounds that do not exist are null."""
    from touchline import gates

    return {
        "versions": [
            {
                "name": one.version.name,
                "version": one.version.version,
                "champion": _is_champion(one),
                "aliases": list(one.version.aliases),
                "digest": one.version.digest,
                "run": one.version.run_id,
                "code": one.code,
                "step": one.step,
                "metrics": gates.plain(one.metrics),
                "configuration": dict(one.params),
                "parents": list(one.parents),
                "scores": None if scores is None else gates.plain(scores),
            }
            for one, scores in zip(found.versions, found.scores, strict=True)
        ],
        "differences": [
            {"of": ours, "minus": theirs, **gates.plain(value)} for ours, theirs, value in _differences(found)
        ],
    }


def _show(found: Compared) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    _print(console, "Versions", found, list(_identities(found)))
    if any(found.scores):
        _print(console, "Official scores with 95 % intervals, higher is better", found, list(_score_rows(found)))
    for sentence in _sentences(found):
        console.print(f"  {sentence}")
    _print(console, "Figures of the Runs that registered them", found, list(_figures(found)))
    rows, left_out = _configuration(found)
    _print(console, "Configured otherwise", found, rows)
    if not rows:
        console.print("\n  What both of their jobs are configured with is alike.")
    if left_out:
        console.print(f"  {left_out} options that not all of their jobs have are left out.")


def _print(console: Console, title: str, found: Compared, rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    from rich.text import Text

    if not rows:
        return
    names = [short(one) for one in found.versions]
    table = _table(title, names)
    for name, cells in rows:
        differ = len(set(cells)) > 1
        table.add_row(name, *(Text(cell, style="" if differ else "dim") for cell in cells))
    console.print()
    console.print(table)


def _table(title: str, names: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def short(one: About) -> str:
    """A version in few characters, such as ``ddpg_finetuned/3``."""
    return f"{one.version.name.rpartition('.')[2]}/{one.version.version}"


def _is_champion(one: About) -> bool:
    return any(alias.casefold() == CHAMPION for alias in one.version.aliases)


def _identities(found: Compared) -> Iterator[tuple[str, list[str]]]:
    from touchline.catalog.lineage import shortened

    versions = found.versions
    yield "champion", ["yes" if _is_champion(one) else "no" for one in versions]
    yield "aliases", [" ".join(f"@{alias}" for alias in one.version.aliases) or "none" for one in versions]
    yield "files", [shortened(one.version.digest) for one in versions]
    yield "Run", [one.version.run_id or "none" for one in versions]
    yield "code", [one.code.removeprefix("code ") or "not recorded" for one in versions]
    yield "recipe", [one.tags.get("touchline.recipe", "none") for one in versions]
    yield "taken at step", ["not recorded" if one.step is None else f"{one.step:,}" for one in versions]
    yield "made from", ["\n".join(_models(one)) or "nothing recorded" for one in versions]


def _models(one: About) -> Iterator[str]:
    """The versions and models among a version's parents: the Runs between them say no more here."""
    for parent in one.parents:
        if " version " in parent or " m-" in parent:
            yield re.sub(r"( m-\w{6})\w+", r"\1…", parent.rpartition(".")[2].replace(" version ", "/"))


def _score_rows(found: Compared) -> Iterator[tuple[str, list[str]]]:
    tasks = dict.fromkeys(task for scores in found.scores if scores for task in scores.tasks)
    for task in tasks:
        yield task, [_cell(scores.tasks.get(task) if scores else None) for scores in found.scores]
    # A mean over fewer tasks is another quantity, and side by side it would be compared.
    yield (
        "mean of tasks",
        [
            "not of all tasks"
            if scores and scores.tasks.keys() != tasks.keys()
            else _cell(scores.mean if scores else None)
            for scores in found.scores
        ],
    )


def _cell(value: Interval | None) -> str:
    return "none" if value is None else f"{number(value.mean)} {interval(value)}"


def _sentences(found: Compared) -> Iterator[str]:
    """Say where scores come from, whether their difference can be told, and who is champion."""
    for one, scores in zip(found.versions, found.scores, strict=True):
        if scores is None:
            yield f"{short(one)} has no official score: no gate and no evaluation that played it is recorded."
        else:
            yield f"{short(one)}: {scores.source}."
    pairs = list(_differences(found))
    for ours, theirs, value in pairs:
        if value.method == "point" and value.mean == 0:
            yield f"{ours} and {theirs} score the same in every scenario."
            continue
        told = "more than chance explains" if value.low > 0 or value.high < 0 else "which chance may explain"
        if value.method in ("none", "point"):
            told = "too few scenarios to tell more" if value.method == "none" else "as if one episode were repeated"
        yield f"{ours} minus {theirs}: {number(value.mean, signed=True)} {interval(value, signed=True)}, {told}."
    if not pairs and sum(scores is not None for scores in found.scores) > 1:
        yield "They did not meet the same scenarios, so these scores are no comparison of pairs."
    digests = [one.version.digest for one in found.versions]
    if len(set(digests)) < len(digests):
        yield "Versions with the same digest hold the same files."
    champions = [short(one) for one in found.versions if _is_champion(one)]
    yield f"{' and '.join(champions)} is champion." if champions else "None of them is champion."


def _differences(found: Compared) -> Iterator[tuple[str, str, Interval]]:
    """Of the first version and each other one that played in the same Run."""
    from touchline.jobs.scores import difference

    first, *others = found.versions
    for other in others:
        for run in found.played:
            value = difference(run, first.version.digest or "", other.version.digest or "")
            if value is not None:
                yield short(first), short(other), value
                break


def _figures(found: Compared) -> Iterator[tuple[str, list[str]]]:
    names = dict.fromkeys(name for one in found.versions for name in one.metrics)
    for name in names:
        values = [one.metrics.get(name) for one in found.versions]
        yield name, ["none" if value is None else f"{value:.4g}".replace("-", "−") for value in values]


def _configuration(found: Compared) -> tuple[list[tuple[str, list[str]]], int]:
    """The options that differ, and how many are not of all the jobs."""
    every = dict.fromkeys(name for one in found.versions for name in one.params)
    common = [name for name in every if all(name in one.params for one in found.versions)]
    values = {name: [one.params[name] for one in found.versions] for name in common}
    return [(name, cells) for name, cells in values.items() if len(set(cells)) > 1], len(every) - len(common)
