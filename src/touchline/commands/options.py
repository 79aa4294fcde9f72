"""What the commands around runs share: their parsing, the home and the run that they name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from touchline.config import Settings
from touchline.errors import UsageError

T = TypeVar("T")
Home = Annotated[Path | None, tyro.conf.arg(metavar="DIR", help="Directory of all state (TOUCHLINE_HOME).")]
Run = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(metavar="RUN", help="Id of a run, a unique beginning of it, or: last", help_behavior_hint=""),
]
Runs = Annotated[
    tyro.conf.Positional[tuple[str, ...]],
    tyro.conf.arg(
        metavar="[RUN ...]",
        help="Ids of runs, unique beginnings of them, or: last. None means every run of the home.",
        help_behavior_hint="",
    ),
]
Last = Annotated[bool, tyro.conf.arg(help="The run that was started or resumed last.")]
Model = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
        metavar="MODEL",
        help="NAME@ALIAS, NAME/VERSION, a run (id or last), a directory with policy.json, or without any training: "
        "stand-still, soft-ankles, walker, walker-steady.",
        help_behavior_hint="",
    ),
]
Tasks = Annotated[
    tuple[str, ...],
    tyro.conf.arg(metavar="TASK ...", help="goalie, obstacle, kick, several of them, or all."),
]
Json = Annotated[bool, tyro.conf.arg(help="Print JSON, for scripts.")]


def parse(options: type[T], arguments: Sequence[str], command: str) -> T:
    """Let tyro parse; it prints its own help and errors, with the nearest option, and exits with 0 or 2."""
    parsed: T = tyro.cli(
        options, args=list(arguments), prog=f"touchline {command}", config=(tyro.conf.FlagCreatePairsOff,)
    )
    return parsed


def refuse_output(target: Path, overwrite: bool, what: str, example: str, option: str = "-o") -> None:
    """Raise UsageError where ``target`` cannot become the ``what``, before any work is done for it."""
    if not target.absolute().parent.is_dir():
        raise UsageError(
            f"There is no directory {target.absolute().parent} for the {what}. Make it, or name another."
        )
    if target.is_dir():
        raise UsageError(f"{target} is a directory. Name a file, such as {example}.")
    if target.exists() and not overwrite:
        raise UsageError(
            f"{target} is there already. Replace it with --overwrite, or name another with {option} FILE."
        )


def settings_of(home: Path | None) -> Settings:
    """Load the settings; raises UsageError when the home is not there, instead of creating a mistyped one."""
    from touchline.tracking.find import existing_home

    settings = Settings.load(home=home)
    existing_home(settings)
    return settings


def one_run(settings: Settings, word: str, last: bool, command: str) -> str:
    """The run that a command is about; raises UsageError when none or two are named."""
    from touchline.tracking.find import LAST, find_run

    if last and word not in ("", LAST):
        raise UsageError(f"Give a run or --last, not both: {word!r}.")
    if not last and not word:
        raise UsageError(f"Which run? Try: touchline {command} last. List them with: touchline runs")
    return find_run(settings, LAST if last else word)


def some_runs(settings: Settings, words: Sequence[str], last: bool = False) -> list[str]:
    """The named runs, each once; all of the home when none is named."""
    from touchline.tracking.find import LAST, find_run
    from touchline.tracking.sync import run_ids

    if last:
        words = [*words, LAST]
    return list(dict.fromkeys(find_run(settings, word) for word in words)) if words else run_ids(settings)


def refuse_to_ask_nobody() -> None:
    """Raise UsageError where no person sits at a terminal who could agree to a removal."""
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Nobody can be asked here, since this is no terminal. Use --yes, or look with --dry-run.")


def agreed(question: str) -> bool:
    """Ask a person; anything but yes is no."""
    try:
        return input(question).strip().casefold() in ("y", "yes")
    except EOFError:
        print()
        return False
