"""A run takes one route to W&B, online or offline: where it was begun, and what the other one says."""

from __future__ import annotations

from pathlib import Path

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.launch import OFFLINE, destination
from touchline.tracking.sinks.wandb_offline import offline_directories


def is_other_route(begun: str, wanted: str) -> bool:
    """True where one of two destinations is the offline one, and the other is not."""
    return begun != wanted and OFFLINE in (begun, wanted)


def begun_at(reader: JournalReader, sink: str) -> str | None:
    """The destination that the first start with this sink recorded; None when there was none."""
    starts = [event for event in reader.of_kind(["start"]) if sink in _sinks(event)]
    return _sinks(starts[0])[sink] if starts else None


def refusal(run_directory: Path, sink: str, settings: Settings) -> str | None:
    """Why ``settings`` do not deliver this run to ``sink``, with the remedy; None where they do."""
    wanted = destination(sink, settings)
    try:
        with JournalReader(run_directory / FILE_NAME) as reader:
            begun = begun_at(reader, sink)
    except TouchlineError:
        return None
    run = run_directory.name
    if begun is None or not is_other_route(begun, wanted):
        return None
    if begun == OFFLINE:
        native = next(iter(offline_directories(run_directory, run)), run_directory / "wandb" / "offline-run-*")
        return (
            f"{sink}: the run {run} was begun with WANDB_MODE=offline, so it is not sent from here; complete it "
            f"with: WANDB_MODE=offline touchline sync {run}; and upload it with: wandb sync {native}"
        )
    return (
        f"{sink}: the run {run} was begun online, so no offline run is written of it; "
        f"deliver it with: WANDB_MODE=online touchline sync {run}"
    )


def _sinks(start: Event) -> dict[str, str]:
    sinks = start.payload.get("sinks")
    return sinks if isinstance(sinks, dict) else {}
