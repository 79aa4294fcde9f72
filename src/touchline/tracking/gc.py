"""Removing runs that every far side has: what may go, why the others stay, and the removal itself."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.status import RUNNING, RunStatus, gaps, read_status
from touchline.tracking.sync import run_ids

DAY_SECONDS = 86_400.0
INSIDE = frozenset(("tensorboard", "console"))
"""Sinks that keep nothing outside the run's directory."""
CHECKPOINTS = "checkpoints"
_TRASH = ".trash-"


class Archive(Protocol):
    """What MLflow says that it has; every method raises TouchlineError when it cannot tell."""

    def has_run(self, remote_id: str) -> bool:
        """True when the run is there."""
        ...

    def files(self, remote_id: str, root: str) -> Mapping[str, int]:
        """Size in bytes of each artifact below the directory ``root``, by its whole path."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A run that ended long enough ago, and whether it may be removed."""

    status: RunStatus
    bytes: int
    kept_because: str
    """A sentence why it stays; empty when every far side has all of it."""


def candidates(
    settings: Settings, older_than_seconds: float, archive: Archive, include_set_aside: bool = False
) -> list[Candidate]:
    """Runs that ended before ``older_than_seconds`` ago, oldest first; ``archive`` is asked what it has.

    A run whose journal cannot be read is never a candidate.
    """
    found = []
    for run_id in run_ids(settings):
        directory = settings.run_directory(run_id)
        try:
            status = read_status(directory)
        except TouchlineError:
            continue
        if status.state != RUNNING and status.ended is not None and time.time() - status.ended > older_than_seconds:
            why = why_kept(settings, status, archive, include_set_aside)
            found.append(Candidate(status, size_of(directory), why))
    return sorted(found, key=lambda candidate: candidate.status.started)


def why_kept(settings: Settings, status: RunStatus, archive: Archive, include_set_aside: bool = False) -> str:
    """Say why a run that ended may not be removed; empty when it may."""
    directory = settings.run_directory(status.id)
    with JournalReader(directory / FILE_NAME) as journal:
        start = journal.newest("start")
    if start is None:
        return f"run {status.id} recorded nothing that could have been delivered."
    names = [name for name in start.payload.get("sinks", {}) if name in settings.sinks]
    if not set(names) - INSIDE:
        return f"no far side outside its directory has run {status.id}."
    if missing := gaps(status, names):
        return missing[0]
    if unfinished := [sink.sink for sink in status.sinks if sink.sink in names and sink.state != "done"]:
        return f"{unfinished[0]} is not done with run {status.id}. Finish it with: touchline sync {status.id}"
    refused = [sink for sink in status.sinks if sink.sink in names and sink.set_aside]
    if refused and not include_set_aside:
        return (
            f"{refused[0].sink} set aside a part of it, which only the journal has "
            f"({refused[0].set_aside[0].reason.rstrip('.')}). Remove it all the same with --set-aside."
        )
    if _unsent_offline_run(directory):
        return (
            f"run {status.id} holds a W&B offline run. Send it with: wandb sync {directory / 'wandb'}/offline-run-*"
        )
    mlflow = status.sink("mlflow")
    try:
        if "mlflow" in names and not (mlflow and archive.has_run(mlflow.remote_id)):
            return (
                f"MLflow had run {status.id} and does not have it any more, so the journal may be the only copy. "
                f"Export it with: touchline export {status.id}"
            )
        return _only_copy(directory, status, archive)
    except TouchlineError as error:
        return f"MLflow cannot tell what it has of run {status.id}. {error}"


def _only_copy(directory: Path, status: RunStatus, archive: Archive) -> str:
    """Compare each checkpoint with what MLflow says that it has."""
    files: dict[str, int] = {}
    for root in _checkpoint_roots(directory):
        for path in (directory / root).rglob("*"):
            name = path.relative_to(directory)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                files[name.as_posix()] = path.stat().st_size
    if not files:
        return ""
    remedy = "Copy what you want to keep, then remove it by hand."
    only = f"{directory} holds the only copy of {_checkpoints(files)}"
    mlflow = status.sink("mlflow")
    if mlflow is None or not mlflow.remote_id:
        return f"{only}, since run {status.id} did not go to MLflow. {remedy}"
    there: dict[str, int] = {}
    for top in sorted({name.partition("/")[0] for name in files}):
        there.update(archive.files(mlflow.remote_id, top))
    lacking = {name: size for name, size in files.items() if there.get(name) != size}
    if lacking:
        return f"{directory} holds the only copy of {_checkpoints(lacking)}: MLflow does not have all of it. {remedy}"
    return ""


def _checkpoint_roots(directory: Path) -> set[Path]:
    """Directories of checkpoints inside the run's, relative to it."""
    own = directory / CHECKPOINTS
    # Of a store's checkpoints the newest supersedes the others, and only that one becomes an artifact.
    newest = max((path.name for path in own.glob("step-*")), default="")
    with JournalReader(directory / FILE_NAME) as journal:
        saved = {Path(str(event.payload.get("directory", ""))) for event in journal.of_kind(["checkpoint"])}
    inside = {path.relative_to(directory) for path in saved if path.is_absolute() and path.is_relative_to(directory)}
    return {Path(CHECKPOINTS) / newest, *(path for path in inside if path.parts[0] != CHECKPOINTS or not newest)}


def _checkpoints(files: Mapping[str, int]) -> str:
    names = sorted({Path(name).parent.as_posix() for name in files})
    return f"the checkpoint {names[-1]}" if len(names) == 1 else f"{len(names)} checkpoints, such as {names[-1]}"


def _unsent_offline_run(directory: Path) -> bool:
    return any(
        not path.with_name(path.name + ".synced").exists()
        for path in directory.glob("wandb/**/offline-run-*/run-*.wandb")
    )


def size_of(directory: Path) -> int:
    """Bytes of all files in a directory."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def remove(settings: Settings, status: RunStatus) -> None:
    """Remove a run: moved out of the runs at once, then deleted, so that none is ever half there.

    Raises TouchlineError, with the run in its place, when it was written to since ``status`` or cannot be moved.
    """
    directory = settings.run_directory(status.id)
    trash = settings.home / f"{_TRASH}{status.id}-{secrets.token_hex(4)}"
    try:
        directory.rename(trash)
    except OSError as error:
        raise TouchlineError(
            f"The run {status.id} could not be moved to {trash} ({error.strerror or error}); it is as it was. "
            "Make the home writable, on one disk with its runs, or remove the run by hand."
        ) from error
    if _changed(trash, status):
        trash.rename(directory)
        raise TouchlineError(f"The run {status.id} was written to a moment ago, so it stays.")
    shutil.rmtree(trash, ignore_errors=True)


def sweep(settings: Settings) -> None:
    """Delete what an interrupted removal left behind."""
    for path in settings.home.glob(f"{_TRASH}*"):
        shutil.rmtree(path, ignore_errors=True)


def _changed(directory: Path, status: RunStatus) -> bool:
    try:
        with JournalReader(directory / FILE_NAME) as journal:
            return journal.count_after(0) != status.events
    except TouchlineError:
        return True
