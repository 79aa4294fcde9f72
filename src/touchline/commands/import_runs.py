"""``touchline import``: bring the runs of W&B, MLflow or TensorBoard into the home, and compare the counts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from touchline.commands.options import Home, parse
from touchline.errors import UsageError, at_least

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.migration.importing import Imported, Report
    from touchline.migration.source import SourceRun

Track = Literal["wandb", "mlflow", "tensorboard"]
SECONDS = 300.0
_TELLS_PEOPLE = "webhook"
_MOST_OMISSIONS = 50


@dataclass(frozen=True)
class ImportOptions:
    """Bring old runs into the home: each becomes a run with its own times, steps, values, files and status.

    Couriers deliver them to the configured sinks, but not back to the track they came from. What is there already is
    compared again, not imported twice. The exit code is 1 when the home has not as much as the source.
    """

    track: Annotated[
        tyro.conf.Positional[Track], tyro.conf.arg(help="Which tracker recorded them.", help_behavior_hint="")
    ]
    place: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(
            metavar="DIR|URI",
            help="wandb: a run's folder, or a directory of them; no network is needed. mlflow: a tracking URI. "
            "tensorboard: a directory with event files.",
            help_behavior_hint="",
        ),
    ]
    experiment: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME")] = ()
    """Only the runs of this MLflow experiment; may be given more than once."""
    project: str | None = None
    """W&B project and MLflow experiment of the imported runs; without it, those that the source names."""
    to: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="SINK")] = ()
    """Deliver to this sink, the track of the source too; may be given more than once."""
    dry_run: bool = False
    """Only count what would be imported."""
    timeout: float = SECONDS
    """Seconds to wait for the delivery, which goes on without us."""
    home: Home = None

    def __post_init__(self) -> None:
        at_least(0, self, "timeout")
        if self.experiment and self.track != "mlflow":
            raise UsageError(f"--experiment {self.experiment[0]} is for mlflow, and this is {self.track}.")


def import_runs(arguments: list[str]) -> int:
    """``touchline import TRACK DIR|URI``."""
    options = parse(ImportOptions, arguments, "import")
    from touchline.config import Settings
    from touchline.migration.importing import Order
    from touchline.migration.importing import import_runs as bring
    from touchline.tracking.sinks import known_sinks

    settings = Settings.load(home=options.home)
    known_sinks(options.to)
    runs, origin, left_behind = _source(options, settings)
    order = Order(settings, *_sinks(options.to, settings, origin), options.project, options.dry_run)
    if not options.dry_run:
        settings.ensure_home()
    report = bring(order, runs, _tell)
    gaps = [] if options.dry_run else _deliver(settings, order.sinks, report, options.timeout)
    _show(report, options.dry_run)
    for sentence in (*left_behind, *gaps):
        print(sentence)
    return 0 if report.is_equal else 1


def _source(options: ImportOptions, settings: Settings) -> tuple[Sequence[SourceRun], str, Sequence[str]]:
    """The runs, the sink that has them already (empty where no sink has), and what is there besides runs."""
    if not options.place:
        raise UsageError(f"Import from where? Name the place that has the runs of {options.track}.")
    if options.track == "mlflow":
        from touchline.migration import mlflow

        store = mlflow.Store(options.place)
        runs, origin = store.runs(settings, options.experiment), "mlflow" if store.is_of(settings) else ""
        return runs, origin, store.left_behind()
    place = Path(options.place).expanduser()
    if not place.exists():
        raise UsageError(f"There is no {place}. Name the directory that has the runs of {options.track}.")
    if options.track == "wandb":
        from touchline.migration import wandb

        return wandb.find_runs(place), "wandb", ()
    from touchline.migration import tensorboard

    return tensorboard.find_runs(place), "tensorboard", ()


def _sinks(to: Sequence[str], settings: Settings, origin: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where the runs are delivered to, and who never gets them: their own track, and who would tell people."""
    from touchline.tracking.sinks import far_sides

    others = [_TELLS_PEOPLE] if _TELLS_PEOPLE in settings.sinks else []
    withheld = tuple(sink for sink in (origin, *others) if sink and sink not in to)
    chosen = dict.fromkeys(far_sides(to or settings.sinks))
    return tuple(sink for sink in chosen if sink not in withheld), withheld


def _tell(run: Imported) -> None:
    if run.state == "left out":
        return
    values = run.in_source["values"]
    print(f"{run.name}: {run.state}, {run.ended_as}, {values:,} values, {run.run_id}", flush=True)


def _deliver(settings: Settings, sinks: Sequence[str], report: Report, timeout: float) -> list[str]:
    """Let the couriers deliver; returns sentences about what did not arrive or was refused."""
    from touchline.commands.progress import Progress
    from touchline.tracking.narrate import clean
    from touchline.tracking.status import read_status, set_aside
    from touchline.tracking.sync import sync

    ids = [run.run_id for run in report.runs if run.run_id]
    if not ids or not sinks:
        return []
    with Progress(lines=False) as progress:
        try:
            sent = sync(settings, ids, sinks, timeout=timeout, progress=progress.update)
        except KeyboardInterrupt:
            progress.stopped()
            return ["Not all is delivered yet. Send the rest with: touchline sync"]
    refused = [sentence for one in ids for sentence in set_aside(read_status(settings.run_directory(one), sinks))]
    return [clean(sentence) for sentence in (*refused, *sent.gaps)]


def _show(report: Report, dry_run: bool) -> None:
    from touchline.commands.tables import show
    from touchline.tracking.narrate import clean

    if dry_run:
        show(("kind", ">in the source"), [(kind, f"{there:,}") for kind, there, _ in report.counts()])
    else:
        rows = [(kind, f"{there:,}", f"{here:,}", _judged(there, here)) for kind, there, here in report.counts()]
        show(("kind", ">in the source", ">in the home", ""), rows)
    omissions = sum((run.omissions for run in report.runs), Counter())
    if omissions:
        print("Not taken over, or in another form:")
    for omission, number in list(omissions.items())[:_MOST_OMISSIONS]:
        times = f" ({number:,} times)" if number > 1 else ""
        print(clean(f"  {omission.what}{times}: {omission.reason}"))
    if len(omissions) > _MOST_OMISSIONS:
        print(f"  and {len(omissions) - _MOST_OMISSIONS:,} more kinds of them")
    if dry_run:
        print("Nothing was imported: --dry-run.")
    elif any(there != here for _, there, here in report.counts()):
        print("touchline: The home has not the same counts as the source.", file=sys.stderr)
    elif not report.is_equal:
        print("touchline: The home has not the same as the source, for the reasons above.", file=sys.stderr)


def _judged(there: int, here: int) -> str:
    return "" if there == here else "differs"
