"""``touchline checkpoints``: list, verify, prune and export what a training saved."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from touchline.commands.options import Home, Json, agreed, parse, refuse_to_ask_nobody, settings_of
from touchline.errors import TouchlineError, UsageError, unknown

if TYPE_CHECKING:
    from touchline.checkpoint.inventory import Listed
    from touchline.checkpoint.storage import Storage
    from touchline.config import Settings

Place = Annotated[
    tyro.conf.Positional[str],
    tyro.conf.arg(
        metavar="RUN",
        help="Id of a run, a unique beginning of it, or: last. Or a directory or address such as gs://bucket/training.",
        help_behavior_hint="",
    ),
]
Step = Annotated[
    int | None, tyro.conf.arg(metavar="N", help="Only the checkpoint of this step.", help_behavior_hint="")
]


@dataclass(frozen=True)
class ListOptions:
    """List the checkpoints of a training, oldest first, and why each one stays."""

    run: Place = ""
    no_verify: bool = False
    """Do not read them: whether they are intact is not known then."""
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class VerifyOptions:
    """Read every byte of the checkpoints and say which are damaged; the exit code is 1 when one is."""

    run: Place = ""
    step: Step = None
    json: Json = False
    home: Home = None


@dataclass(frozen=True)
class PruneOptions:
    """Remove all but the newest intact checkpoints, damaged ones too; asks first.

    Nothing is removed where none is intact.
    """

    run: Place = ""
    keep_last: Annotated[
        int | None, tyro.conf.arg(metavar="N", help="So many stay, at least 1.", help_behavior_hint="(required)")
    ] = None
    dry_run: bool = False
    """Only show what would be removed."""
    yes: bool = False
    """Do not ask."""
    home: Home = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise UsageError(f"--keep-last is {self.keep_last}; at least 1 checkpoint stays.")


@dataclass(frozen=True)
class ExportOptions:
    """Write a checkpoint's arrays to one file, and the rest as JSON beside it; or copy it whole into a directory."""

    run: Place = ""
    destination: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(
            metavar="DEST",
            help="NAME.safetensors or NAME.npz, with NAME.json beside it; or a directory.",
            help_behavior_hint="",
        ),
    ] = ""
    step: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help="Which one.", help_behavior_hint="(default: the newest intact one)"),
    ] = None
    home: Home = None


def checkpoints(arguments: list[str]) -> int:
    """``touchline checkpoints COMMAND RUN``."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] not in COMMANDS:
        raise unknown("command of touchline checkpoints", arguments[0], COMMANDS)
    try:
        return COMMANDS[arguments[0]][0](arguments[1:])
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise TouchlineError(f"The checkpoints cannot be read or written now: {error}. Try again.") from error


def _list(arguments: list[str]) -> int:
    options = parse(ListOptions, arguments, "checkpoints list")
    location = _location(options.run, options.home, "list")
    from touchline.checkpoint.inventory import inventory

    found = inventory(_storage(location), read=not options.no_verify)
    if options.json:
        print(_json(found))
        return 0
    _refuse_none(found, location)
    from touchline.commands.tables import show
    from touchline.quantities import moment, size

    rows = [
        (
            f"{one.step:,}",
            "–" if one.saved_at is None else moment(one.saved_at),
            size(one.bytes) if one.bytes else "–",
            ", ".join(f"{name} {value:.6g}" for name, value in one.metrics.items()) or "–",
            {True: "yes", False: "damaged", None: "not verified"}[one.intact],
            one.stays or "the next save removes it",
        )
        for one in found
    ]
    show((">step", "saved", ">size", "metrics", "intact", "stays"), rows)
    for one in found:
        if one.problem:
            print(f"{one.path}: {one.problem}.")
    return 0


def _json(found: Sequence[Listed]) -> str:
    """As JSON, which has no NaN and no infinity: such a metric is null."""
    plain = [asdict(one) for one in found]
    for one in plain:
        one["metrics"] = {name: value if math.isfinite(value) else None for name, value in one["metrics"].items()}
    return json.dumps(plain, indent=1, allow_nan=False)


def _verify(arguments: list[str]) -> int:
    options = parse(VerifyOptions, arguments, "checkpoints verify")
    location = _location(options.run, options.home, "verify")
    from touchline.checkpoint.inventory import each
    from touchline.quantities import size

    found = []
    for one in each(_storage(location)):
        if options.step not in (None, one.step):
            continue
        found.append(one)
        if not options.json:
            told = (
                f"is intact: {one.files} files, {size(one.bytes)}" if one.intact else f"is not intact: {one.problem}"
            )
            print(f"{one.path} {told}.", flush=True)
    if options.json:
        print(_json(found))
    else:
        _refuse_none(found, location, options.step)
    return 0 if all(one.intact for one in found) else 1


def _prune(arguments: list[str]) -> int:
    options = parse(PruneOptions, arguments, "checkpoints prune")
    location = _location(options.run, options.home, "prune")
    if options.keep_last is None:
        raise UsageError("How many stay? Say it with --keep-last N, and look first with --dry-run.")
    if not (options.yes or options.dry_run):
        refuse_to_ask_nobody()
    from touchline.checkpoint.inventory import inventory, removable
    from touchline.quantities import size

    storage = _storage(location)
    found = inventory(storage)
    _refuse_none(found, location)
    if not any(one.intact for one in found):
        raise TouchlineError(f"None of the {len(found)} checkpoints in {location} is intact, so nothing is removed.")
    goes = removable(found, options.keep_last)
    for one in found:
        what = "is removed" if one in goes else "stays"
        print(f"{one.path} {what}{f': {one.problem}' if one.problem else ''}.")
    if not goes:
        print("There is nothing to remove.")
        return 0
    what = f"{len(goes):,} checkpoint{'' if len(goes) == 1 else 's'} ({size(sum(one.bytes for one in goes))})"
    if options.dry_run:
        print(f"{what} would be removed.")
        return 0
    if not options.yes and not agreed(f"Remove {what} for good? [y/N] "):
        print("Nothing was removed.")
        return 0
    for one in goes:
        storage.delete(one.name)
    print(f"Removed {what}.")
    return 0


def _export(arguments: list[str]) -> int:
    options = parse(ExportOptions, arguments, "checkpoints export")
    location = _location(options.run, options.home, "export")
    if not options.destination:
        raise UsageError("Where to? Name it last: touchline checkpoints export RUN weights.safetensors")
    from touchline.checkpoint import CheckpointStore
    from touchline.checkpoint.exporting import export

    store = CheckpointStore(location)
    checkpoint = store.latest() if options.step is None else store.load(options.step)
    if checkpoint is None:
        raise _none(location)
    for skipped in checkpoint.skipped:
        print(skipped, file=sys.stderr)
    written = export(store, checkpoint, Path(options.destination))
    print(f"{' and '.join(map(str, written))} {'has' if len(written) == 1 else 'have'} step {checkpoint.step:,}.")
    return 0


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str, str]] = {
    "list": (_list, "list RUN", "show each one: step, size, metrics, whether it is intact, why it stays"),
    "verify": (_verify, "verify RUN [--step N]", "read every byte and say which are damaged"),
    "prune": (_prune, "prune RUN --keep-last N", "remove all but the newest intact ones, after asking"),
    "export": (_export, "export RUN [--step N] DEST", "write the state as .safetensors or .npz, or copy it whole"),
}


def _help() -> str:
    commands = "\n".join(f"  {usage:<28}{does}" for _, usage, does in COMMANDS.values())
    return (
        "usage: touchline checkpoints COMMAND RUN [options]\n\n"
        "RUN is the id of a run, the beginning of one, or: last. Or a directory or an address of checkpoints.\n\n"
        f"commands:\n{commands}\n\n"
        "A command's options: touchline checkpoints COMMAND --help"
    )


def _location(word: str, home: Path | None, command: str) -> str:
    """Where the checkpoints lie: those of a run, or a directory or address itself."""
    if not word:
        raise UsageError(f"Which run? Try: touchline checkpoints {command} last. Or name a directory of checkpoints.")
    if "://" in word:
        return word
    if "/" in word or word.startswith("."):
        return _directory(Path(word))
    try:
        return _of_run(settings_of(home), word)
    except UsageError:
        if Path(word).is_dir():
            return word
        raise


def _of_run(settings: Settings, word: str) -> str:
    """Beside the run, or where the settings send the checkpoints of jobs; of a run of another machine too."""
    from touchline.tracking.find import LAST, find_run, last_of
    from touchline.tracking.sync import run_ids

    saving = [run for run in run_ids(settings) if (settings.run_directory(run) / "checkpoints").is_dir()]
    try:
        # The last run of a pipeline saves none, and is hardly meant.
        run_id = last_of(settings, saving) if word == LAST and saving else find_run(settings, word)
    except UsageError:
        if settings.checkpoints is None:
            raise
        run_id = word
    beside = settings.run_directory(run_id) / "checkpoints"
    return str(beside) if settings.checkpoints is None or beside.is_dir() else f"{settings.checkpoints}/{run_id}"


def _directory(path: Path) -> str:
    if not path.is_dir():
        raise UsageError(f"There is no directory {path}. Name a run, or the directory that holds the checkpoints.")
    return str(path)


def _storage(location: str) -> Storage:
    from touchline.checkpoint.storage import storage_at

    return storage_at(location)


def _refuse_none(found: Sequence[Listed], location: str, step: int | None = None) -> None:
    if found:
        return
    if step is not None:
        raise UsageError(f"{location} has no checkpoint of step {step:,}. List them: touchline checkpoints list")
    raise _none(location)


def _none(location: str) -> UsageError:
    return UsageError(
        f"There are no checkpoints in {location}. If the training saves them elsewhere, name that directory or "
        "address."
    )
