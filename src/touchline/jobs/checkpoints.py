"""Where the checkpoints of a job's run lie, and from which of them it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.checkpoint import CheckpointStore
from touchline.config import Settings, plain
from touchline.errors import TouchlineError
from touchline.jobs.recording import RecordingConfig

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class Resume:
    """How a job starts when an earlier process left it unfinished."""

    fresh: bool = False
    """Start over, whatever is there."""
    run_id: str | None = None
    """Go on with this run; None: with the unfinished one of the same job and configuration, if any."""
    allow_changes: bool = False
    """Use a checkpoint of another configuration or version of the code all the same."""
    or_begin: bool = False
    """Begin the run ``run_id`` where it has no checkpoint: what it logged so far is superseded."""


@dataclass(frozen=True)
class From:
    """The checkpoint that a run goes on from."""

    run_id: str
    step: int
    """Policy transitions."""
    name: str
    digest: str
    """sha256 of its manifest, which has those of all its files."""
    directory: Path
    """Its files, verified, on the local disk."""


def training_config(config: Any) -> Any:
    """Return a configuration as plain values without what changes no training.

    That is how often it records, and on how many devices it runs: it may go on on a machine with fewer.
    """
    return _of_the_training(plain(config))


def store_of(
    run_id: str, config: Any, settings: Settings, *, run: Run | None = None, allow_changes: bool = False
) -> CheckpointStore:
    """Return the checkpoints of one run: in its directory, or below ``settings.checkpoints`` where that is set."""
    recording = getattr(config, "recording", None) or RecordingConfig()
    beside = settings.run_directory(run_id)
    location = beside / "checkpoints" if settings.checkpoints is None else f"{settings.checkpoints}/{run_id}"
    return CheckpointStore(
        location,
        every=recording.checkpoint_every,
        minimum_seconds=recording.checkpoint_minimum_seconds,
        keep_last=recording.keep_checkpoints,
        keep_every=recording.keep_every or None,
        config=training_config(config),
        allow_changes=allow_changes,
        run=run,
        staging=None if settings.checkpoints is None else beside,
        made_by=Path(__file__),
    )


@contextlib.contextmanager
def going_on(run_id: str | None, config: Any, settings: Settings, how: Resume) -> Iterator[From | None]:
    """Keep the files of the newest checkpoint of a run here while the context lasts; None: start anew.

    Raises TouchlineError when the run was named by a person and has no checkpoint, and Refused when the checkpoint
    is of another configuration or version of the code.
    """
    if run_id is None:
        yield None
        return
    store = store_of(run_id, config, settings, allow_changes=how.allow_changes)
    with store.newest() as newest:
        if newest is not None:
            yield From(run_id, *newest)
        elif how.run_id is None or how.or_begin:
            yield None
        else:
            raise TouchlineError(
                f"The run {run_id} has no checkpoint in {store.location}, so nothing can go on from there. "
                "Name another run, or start over with --fresh."
            )


def _of_the_training(values: Any) -> Any:
    if not isinstance(values, Mapping):
        return values
    return {name: _of_the_training(value) for name, value in values.items() if name not in ("recording", "devices")}
