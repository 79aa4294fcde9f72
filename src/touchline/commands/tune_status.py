"""``touchline tune status`` and ``touchline tune show``: how far studies are, in words and in plots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.options import Home, Json, parse
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError

if TYPE_CHECKING:
    from touchline.tuning.progress import Progress
    from touchline.tuning.storage import StudyStorage

StudyName = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
        metavar="[STUDY]",
        help="Name of a study, or its beginning; empty: all, or the only one.",
        help_behavior_hint="",
    ),
]
Storage = Annotated[str | None, tyro.conf.arg(metavar="URL", help_behavior_hint="(default: optuna.db in the home)")]


@dataclass(frozen=True)
class StatusOptions:
    """Show how far studies are: progress, the best trial, what matters, what it cost and what is left."""

    study: StudyName = ""
    storage: Storage = None
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class ShowOptions:
    """Write a study's plots, and a table of its trials, as one HTML page."""

    study: StudyName = ""
    storage: Storage = None
    output: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: NAME.html)")
    ] = None
    """The page; it needs no network."""
    overwrite: bool = False
    """Replace the page that is there."""
    home: Home = None


def status(arguments: list[str]) -> int:
    """``touchline tune status``."""
    options = parse(StatusOptions, arguments, "tune status")
    storage = _storage(options.storage, options.home)
    from touchline.tuning.progress import progress_of
    from touchline.tuning.study import TARGET, find_study

    _quiet()
    found = []
    with storage.telling():
        for name in _names(storage, options.study):
            study = find_study(storage, name)
            found.append(progress_of(study, study.optuna.user_attrs.get(TARGET)))
    if options.json:
        print(json.dumps([_plain(progress) for progress in found], indent=1))
        return 0
    for number, progress in enumerate(found):
        if number:
            print()
        _tell(progress)
    return 0


def show(arguments: list[str]) -> int:
    """``touchline tune show``."""
    from touchline.commands.options import refuse_output
    from touchline.filesystem import whole_file

    options = parse(ShowOptions, arguments, "tune show")
    storage = _storage(options.storage, options.home)
    from touchline.tuning.plots import page
    from touchline.tuning.study import find_study

    _quiet()
    with storage.telling():
        names = _names(storage, options.study)
        if len(names) > 1:
            raise UsageError(f"Which study? Name one of: {', '.join(names)}.")
        target = options.output or Path(f"{names[0]}.html")
        refuse_output(target, options.overwrite, "page", "study.html")
        text = page(find_study(storage, names[0]))
    with whole_file(target) as file:
        file.write(text.encode())
    print(target)
    return 0


def _storage(url: str | None, home: Path | None) -> StudyStorage:
    from touchline.tuning.storage import StudyStorage, default_url

    settings = Settings.load(home=home)
    storage = StudyStorage(url or default_url(settings.home))
    if not storage.exists:
        raise UsageError(f"There are no studies in {storage.shown}. Begin one with: touchline tune pretrain")
    return storage


def _names(storage: StudyStorage, word: str) -> list[str]:
    """The studies that a word means; raises UsageError when there is none."""
    import optuna

    from touchline.errors import unknown

    every = optuna.get_all_study_names(storage.open())
    names = [name for name in every if name == word] or [name for name in every if name.startswith(word)]
    if not every:
        raise TouchlineError(f"There is no study in {storage.shown} yet. Begin one with: touchline tune pretrain")
    if not names:
        raise unknown("study", word, every)
    return names


def _quiet() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _tell(progress: Progress) -> None:
    from touchline.commands.tables import duration, show, title

    counts = ", ".join(f"{number} {_WORDS[state]}" for state, number in progress.counts.items() if number)
    goal = "" if progress.target is None else f" of {progress.target}"
    title(f"{progress.name}: {progress.finished}{goal} finished")
    print(f"{counts or 'no trial yet'}; {progress.storage}")
    if progress.best is not None:
        print(f"Best: trial {progress.best.number}, {progress.best.value:g}")
        rows = [
            (name, f"{value:.4g}" if isinstance(value, float) else str(value), f"{progress.importance[name]:.0%}")
            if name in progress.importance
            else (name, f"{value:.4g}" if isinstance(value, float) else str(value), "–")
            for name, value in progress.best.params.items()
        ]
        show(("  field", ">best", ">importance"), [(f"  {name}", *cells) for name, *cells in rows])
    if progress.winner is not None:
        print(f"Winner on other seeds: trial {progress.winner}")
    spent = f"So far: {duration(progress.seconds) or '0 s'} of work{_money(progress.cost)}"
    if progress.seconds_left:
        workers = f"{progress.workers} worker{'s' * (progress.workers > 1)}"
        spent += f"; left: about {duration(progress.seconds_left)} with {workers}{_money(progress.cost_left)}"
    print(spent)
    for sentence in progress.failures:
        print(sentence)


_WORDS = {
    "complete": "complete",
    "pruned": "pruned",
    "running": "running",
    "waiting": "waiting",
    "fail": "failed",
    "retried": "killed and retried",
}


def _money(cost: Any) -> str:
    parts = []
    if "cost/usd" in cost:
        parts.append(f"{cost['cost/usd']:.2f} USD")
    if "cost/energy_wh" in cost:
        parts.append(f"{cost['cost/energy_wh']:,.0f} Wh")
    return f", {', '.join(parts)}" if parts else ""


def _plain(progress: Progress) -> dict[str, Any]:
    best = progress.best
    told = {field: getattr(progress, field) for field in progress.__dataclass_fields__ if field != "best"}
    chosen = None if best is None else {"trial": best.number, "value": best.value, "params": best.params}
    return {**told, "best": chosen}
