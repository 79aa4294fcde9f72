"""What a person reads when the pipeline is through: durations, scores, the champion, the tracks, where to look."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.progress import clock
from touchline.watch.cost import total

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from touchline.jobs.execute import JobOutcome

VISIBLE = 0.0005
"""Smallest difference of scores that the table's three digits show."""
PLAYERS = ("candidate", "champion", "stand still", "untrained")


@dataclass(frozen=True)
class Track:
    """What one sink has of all runs."""

    sink: str
    pending: int
    """Events not confirmed yet."""
    complete: bool
    """Whether it has everything and knows how the runs ended."""
    reason: str
    """Why not, where the sink has said so."""
    url: str
    """Page of the newest run there."""


def print_summary(outcomes: Sequence[JobOutcome], settings: Settings, console: Console) -> None:
    """Print the whole summary."""
    console.print()
    console.rule("[bold]Summary", align="left")
    console.print(_durations(outcomes))
    if cost := total(outcome.result.summary.get("cost", {}) for outcome in outcomes):
        console.print(f"  {_cost(cost)}", markup=False)
    judged = next((outcome.result.summary for outcome in outcomes if "verdict" in outcome.result.summary), None)
    if judged is not None:
        console.print()
        if "scores" in judged:
            console.print(_scores(judged["scores"]))
            console.print(
                "  On unperturbed resets; the gate below plays other scenarios, perturbed as its evidence declares."
            )
            for sentence in honest_sentences(judged["scores"]):
                console.print(f"  {sentence}", markup=False)
            console.print()
        champion = judged.get("champion")
        console.print(f"  Champion: [bold]{champion or 'none yet'}[/]")
        console.print(f"  {judged['verdict']}", markup=False)
    console.print()
    states = tracks(outcomes, settings)
    for track in states:
        console.print(f"  {_delivery(track)}", markup=False)
    console.print()
    for command, why in look_further(outcomes, settings, states):
        console.print(f"  [bold cyan]{command}[/]\n      {why}")


def _durations(outcomes: Sequence[JobOutcome]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(justify="left")
    table.add_column(justify="right")
    for outcome in outcomes:
        note = "[dim]by an earlier start[/]" if outcome.before else ""
        table.add_row(f"  {outcome.job}", clock(outcome.seconds), note)
    if len(outcomes) > 1:
        table.add_row("  [bold]all[/]", f"[bold]{clock(sum(outcome.seconds for outcome in outcomes))}[/]", "")
    return table


def _cost(cost: Mapping[str, float]) -> str:
    parts = []
    if "cost/usd" in cost:
        idle = f", {cost['cost/usd_wasted']:.2f} USD of it while idle" if "cost/usd_wasted" in cost else ""
        parts.append(f"{cost['cost/usd']:.2f} USD{idle}")
    if "cost/energy_wh" in cost:
        parts.append(f"{cost['cost/energy_wh']:,.0f} Wh")
    return f"GPU    {'; '.join(parts)}"


def _scores(scores: Mapping[str, Mapping[str, float | None]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="Scores, higher is better", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("environment")
    for player in PLAYERS:
        table.add_column(player, justify="right")
    for task, row in scores.items():
        best = max((value for value in row.values() if value is not None), default=None)
        cells = (_score(row.get(player), best) for player in PLAYERS)
        table.add_row(task, *cells)
    return table


def _score(value: float | None, best: float | None) -> str:
    if value is None:
        return "–"
    text = f"{value:.3f}".replace("-", "−")
    return f"[bold green]{text}[/]" if value == best else text


def honest_sentences(scores: Mapping[str, Mapping[str, float | None]]) -> Iterator[str]:
    """Say where the candidate is no better than standing still."""
    same = []
    for task, row in scores.items():
        mine, still = row.get("candidate"), row.get("stand still")
        if mine is None or still is None:
            continue
        if still - mine >= VISIBLE:
            yield f"On {task} standing still is better than the candidate, by {still - mine:.3g}."
        elif abs(still - mine) < VISIBLE:
            same.append(task)
    if same:
        yield f"On {', '.join(same)} the candidate scores what standing still scores, and no more."


def tracks(outcomes: Sequence[JobOutcome], settings: Settings) -> tuple[Track, ...]:
    """Add up what each sink has of the runs that lie in this home."""
    from touchline.tracking.delivery import SinkState, read_delivery
    from touchline.tracking.sinks import far_sides

    sinks = far_sides(settings.sinks)
    states: dict[str, list[SinkState]] = {sink: [] for sink in sinks}
    for outcome in outcomes:
        try:
            delivery = read_delivery(settings.run_directory(outcome.run_id), sinks)
        except TouchlineError:
            continue  # an earlier start did it on another machine
        for sink, state in delivery.items():
            states[sink].append(state)
    return tuple(
        Track(
            sink,
            pending=sum(state.pending for state in seen),
            complete=all(state.state == "done" for state in seen),
            reason=next((state.reason for state in reversed(seen) if state.reason), ""),
            url=next((state.url for state in reversed(seen) if state.url), ""),
        )
        for sink, seen in states.items()
    )


def _delivery(track: Track) -> str:
    if track.complete:
        where = f" {track.url}" if track.url.startswith("http") else ""
        return f"{track.sink} has everything.{where}"
    reason = f" {track.reason.rstrip('.')}." if track.reason else ""
    return f"{track.sink} has yet to receive {track.pending:,} events; the journals keep them.{reason}"


def look_further(
    outcomes: Sequence[JobOutcome], settings: Settings, states: Sequence[Track]
) -> Iterator[tuple[str, str]]:
    """Name the commands with which to look further, each with what it shows."""
    from touchline.tracking.journal import FILE_NAME

    yield command("ui", settings=settings), "every run in a browser, live, and the way to MLflow and TensorBoard"
    if any((settings.run_directory(outcome.run_id) / FILE_NAME).is_file() for outcome in outcomes):
        report = command("report", "--last", settings=settings)
        yield report, "one page on all of it: curves, videos, the gate, lineage"
    summaries: dict[str, Any] = {outcome.job: outcome.result.summary for outcome in outcomes}
    if summaries.get("gate3", {}).get("champion"):
        lineage = command("lineage", "ddpg_finetuned@Champion", settings=settings)
        yield lineage, "which runs and models the champion comes from"
    for outcome in outcomes:
        videos = settings.run_directory(outcome.run_id).glob("media/videos/**/*.mp4")
        if newest := max(videos, key=lambda video: video.stat().st_mtime, default=None):
            yield shlex.join(["xdg-open", str(newest)]), f"the last video of {outcome.job}"
    if not all(track.complete for track in states):
        yield command("sync", settings=settings), "send what the sinks have not received"


def command(*words: object, settings: Settings) -> str:
    """What a person types to call Touchline with these words on the settings' home, quoted for a shell."""
    home = [] if Settings.load().home == settings.home else ["--home", settings.home]
    return shlex.join([program(), *map(str, [*words, *home])])


def program() -> str:
    """Return what a person types in this directory to call the command line that is running."""
    called = Path(sys.argv[0]).absolute()
    if called.name != "touchline" or shutil.which("touchline") == str(called):
        return "touchline"
    here = Path.cwd()
    return str(called.relative_to(here) if called.is_relative_to(here) else called)
