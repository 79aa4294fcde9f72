"""Runs of W&B, read from the folders that its SDK leaves on disk, offline or online; no network and no key."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.errors import TouchlineError, UsageError
from touchline.migration import source
from touchline.migration.files import Files, OtherValues
from touchline.migration.source import About, Ending, Findings, SourceRun, UnreadableRun
from touchline.migration.wandb_console import Console, seconds
from touchline.migration.wandb_file import WandbFile, without_copies
from touchline.migration.wandb_history import INTERNAL, Axes, Row, as_number, joined, put
from touchline.migration.wandb_media import Media

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import (
        ArtifactRecord,
        ConfigRecord,
        MetricRecord,
        Record,
        RunRecord,
        SummaryRecord,
    )

FRESH_SECONDS = 60.0
"""A run without an end whose file changed so short a time ago may still be written."""
_LEVELS = {"INFO": "info", "WARN": "warn", "ERROR": "error"}
_UNCOUNTED = frozenset(
    ("header", "footer", "final", "telemetry", "files", "request", "control", "output_logger", None)
    + ("run", "config", "summary", "metric", "environment", "exit", "preempting")
)
"""Records about the SDK itself, about the uploading of files that are found anyway, and what was read before."""


def find_runs(place: Path) -> list[SourceRun]:
    """The runs below a run's file or folder, a ``wandb`` directory, or the directory that has one.

    Folders of one run, which was resumed, are one, and a copy of a folder is not read; a file among others that is
    none of W&B's is a run that cannot be read. Raises UsageError where there is none, TouchlineError where the one
    file that is named is none.
    """
    if place.is_file():
        files = [place]
    else:
        patterns = ("*.wandb", "*/*.wandb", "wandb/*/*.wandb")
        files = [file for pattern in patterns for file in place.glob(pattern)]
    sessions: dict[str, list[WandbFile]] = {}
    unreadable: list[SourceRun] = []
    for path in sorted({path.resolve() for path in files}):  # latest-run is a link
        try:
            file = WandbFile(path)
        except TouchlineError as error:
            if len(files) == 1:
                raise
            unreadable.append(UnreadableRun(error))
        else:
            sessions.setdefault(_identity(file), []).append(file)
    if not sessions and not unreadable:
        raise UsageError(
            f"There is no W&B run in {place}. Name a folder such as wandb/offline-run-20260101_120000-abc123, or the "
            "wandb directory that has it."
        )
    return [*(WandbRun(*without_copies(files)) for files in sessions.values()), *unreadable]


class WandbRun:
    """One run of W&B, from the file of each of its sessions."""

    def __init__(self, files: Sequence[WandbFile], copies: Sequence[tuple[Path, Path]] = ()) -> None:
        """``copies`` are not read, only told: the file of each, and the one of ``files`` that has all of it."""
        self.findings = Findings()
        self._copies = copies
        self._files = sorted(files, key=lambda file: file.path.parent.name)  # which has its time
        self._axes = Axes()
        self._config: dict[str, Any] = {}
        self._summary: dict[str, Any] = {}
        self._tags: dict[str, str] = {}
        self._goals: dict[str, str] = {}
        self._about: About | None = None
        self._exit_code: int | None = None
        self._preempted = False
        self._last_time = 0.0

    def about(self) -> About:
        """Read the files once. Raises TouchlineError when they hold no run, or when it may still be written."""
        if self._about is None:
            for file in self._files:
                for record in file.records():
                    self._take_note(record)
            newest = self._files[-1].path
            age = time.time() - newest.stat().st_mtime
            if self._about is None:
                raise TouchlineError(f"{newest} holds no run: its process ended before it was written. Leave it out.")
            if self._exit_code is None and age < FRESH_SECONDS:
                raise TouchlineError(
                    f"{newest} changed {age:.0f} s ago and has no end, so the run may be going on. Import it once it "
                    f"has ended; one that was killed, {FRESH_SECONDS:.0f} s later."
                )
        return self._about

    def events(self, directory: Path | None) -> Iterator[source.Row]:
        """Yield the events, media and files included; see ``SourceRun``."""
        about = self.about()
        self.findings.counts.clear()
        self.findings.omissions.clear()
        self._tell_losses()
        yield "tags", None, about.started, self._counted(source.TAGS, self._tags)
        config = {name: value for name, value in self._config.items() if name.partition(".")[0] != "_wandb"}
        params = self._joined(source.PARAMS, config)
        yield "params", None, about.started, self._counted(source.PARAMS, params)
        goals = {name: goal for name, goal in self._goals.items() if name}  # none where it is for a pattern
        if goals:
            yield "goal", None, about.started, dict(goals)
        files, others, samples = Files(directory), OtherValues(), 0
        console = Console()
        self._axes.rewind()
        for file in self._files:
            media = Media(file.path.parent / "files", files, self.findings)
            for record in file.records():
                kind = record.WhichOneof("record_type")
                if kind == "history":
                    yield from self._row(Row(record.history), media, others)
                elif kind == "stats":
                    yield from self._stats(record, samples)
                    samples += 1
                elif kind in ("output_raw", "output"):
                    yield from console.take(getattr(record, kind), self._last_time)
                elif kind == "alert":
                    yield self._alert(record)
                elif kind == "artifact":
                    yield from self._artifact(record.artifact, files)
                elif kind == "use_artifact":
                    self.findings.counts[source.INPUTS] += 1
                    used = record.use_artifact
                    payload = {"model": used.name or used.id, "context": used.type or "artifact"}
                    yield "input", None, self._last_time, payload
                elif kind == "tbrecord":
                    where = f"import them with: touchline import tensorboard {record.tbrecord.log_dir}"
                    self.findings.omit("TensorBoard's files that W&B mirrored", where)
                elif kind not in _UNCOUNTED:
                    self.findings.omit(f"record {kind}", "a run has nothing like it")
            yield from self._other_files(file.path.parent / "files", media.used, files)
        yield from console.rest()
        self.findings.counts[source.OUTPUT] += console.characters
        if others.count:
            self.findings.counts[source.OTHER_VALUES] += others.count
            self.findings.counts[source.FILES] += 1
            yield "artifact", None, self._last_time, others.payload(files, source.OTHER_VALUES_FILE)
        summary = {name: value for name, value in self._summary.items() if name.partition(".")[0] not in INTERNAL}
        results = self._joined(source.RESULTS, summary)
        plain = {name: value for name, value in results.items() if not (isinstance(value, dict) and "_type" in value)}
        if plain:
            yield "summary", None, self._last_time, self._counted(source.RESULTS, plain)

    def ending(self) -> Ending:
        """What the exit code says; without one the run was killed."""
        if self._exit_code is None:
            if self._preempted:
                return Ending("preempted", self._last_time, "W&B's file says so, and has no exit code.")
            return Ending("killed", self._last_time, "W&B's file has no exit code: the process was killed.")
        if self._exit_code:
            return Ending("failed", self._last_time, f"The exit code was {self._exit_code}.")
        return Ending("finished", self._last_time)

    def _take_note(self, record: Record) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = Row(record.history)
            self._axes.learn(row)
            self._last_time = max(self._last_time, row.time or 0.0)
        elif kind == "run":
            self._exit_code, self._preempted = None, False  # a session of its own
            self._meet(record.run)
        elif kind == "environment":
            self._take_environment(record)
        elif kind == "metric":
            self._axes.define(record.metric)
            self._take_goal(record.metric)
        elif kind == "config":
            _update(self._config, record.config)
        elif kind == "summary":
            _update(self._summary, record.summary)
        elif kind == "exit":
            self._exit_code = record.exit.exit_code
            if self._about is not None:
                self._last_time = max(self._last_time, self._about.started + record.exit.runtime)
        elif kind == "preempting":
            self._preempted = True

    def _meet(self, run: RunRecord) -> None:
        _update(self._config, run.config)
        _update(self._summary, run.summary)
        path = self._files[0].path
        started = seconds(run.start_time) or path.stat().st_mtime
        self._tags.update(dict.fromkeys(run.tags, ""))
        told = {
            "mlflow.note.content": run.notes,
            "wandb.sweep": run.sweep_id,
            "wandb.entity": run.entity,
            "git.commit": run.git.commit,
            "git.remote": run.git.remote_url,
        }
        self._tags.update({name: value for name, value in told.items() if value})
        self._last_time = max(self._last_time, started)
        about = About(
            track="wandb",
            identity=_identity_of(run),
            name=run.display_name or run.run_id,
            project=run.project or "uncategorized",
            started=started,
            place=str(path.parent),
            job=run.job_type or About.job,
            group=run.run_group,
            host=run.host,
        )
        first = self._about
        if first is not None:  # a later session of the same run
            about = replace(about, started=min(first.started, started), identity=first.identity)
        self._about = about

    def _take_goal(self, metric: MetricRecord) -> None:
        if metric.summary.max or metric.goal == metric.GOAL_MAXIMIZE:
            self._goals[metric.name] = "maximize"
        elif metric.summary.min or metric.goal == metric.GOAL_MINIMIZE:
            self._goals[metric.name] = "minimize"

    def _take_environment(self, record: Record) -> None:
        environment = record.environment
        told = {
            "system.python": environment.python,
            "system.os": environment.os,
            "system.gpu": environment.gpu_type,
            "git.commit": environment.git.commit,
            "git.remote": environment.git.remote_url,
        }
        self._tags.update({name: value for name, value in told.items() if value})
        if environment.program and self._about is not None:
            self._about = replace(self._about, command=(environment.program, *environment.args))

    def _tell_losses(self) -> None:
        for copy, original in self._copies:
            reason = f"it is a copy of {original.parent}, which has all of its records and is read"
            self.findings.omit(f"the folder {copy.parent}", reason)
        for file in self._files:
            if file.lost_bytes:
                size = file.path.stat().st_size
                reason = f"{file.lost_bytes:,} of its {size:,} bytes are torn or damaged; the rest is read"
                self.findings.omit(f"a part of {file.path.name}", reason)
        for axis in sorted(set(self._axes.unfit.values())):
            names = sorted(name for name, its in self._axes.unfit.items() if its == axis)
            some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            reason = f"it is no whole number that grows from value to value of {some}, which keep W&B's own step"
            self.findings.omit(f"{axis} as the step", reason)

    def _row(self, row: Row, media: Media, others: OtherValues) -> Iterator[source.Row]:
        moment = self._last_time if row.time is None else row.time
        self._tell_doubled(source.VALUES, row.doubled)
        places = self._axes.places(row)
        for step, numbers in places.items():
            self.findings.counts[source.VALUES] += len(numbers)
            yield "metrics", step, moment, numbers
        step = next(iter(places), row.step) if len(places) == 1 else row.step
        for name, value in row.others():
            if isinstance(value, dict) and "_type" in value:
                yield from media.events(name, value, step, moment)
            else:
                others.add(name, step, moment, value)

    def _stats(self, record: Record, sample: int) -> Iterator[source.Row]:
        found = {f"system/{item.key}": json.loads(item.value_json) for item in record.stats.item}
        numbers = {name: number for name, value in found.items() if (number := as_number(value)) is not None}
        for name in found.keys() - numbers.keys():
            self.findings.omit(name, "a sample of it is no number")
        self.findings.counts[source.VALUES] += len(numbers)
        if numbers:
            yield "metrics", sample, seconds(record.stats.timestamp) or self._last_time, dict(numbers)

    def _alert(self, record: Record) -> source.Row:
        self.findings.counts[source.ALERTS] += 1
        level = _LEVELS.get(record.alert.level.upper(), "info")
        return (
            "alert",
            None,
            self._last_time,
            {"title": record.alert.title, "text": record.alert.text, "level": level},
        )

    def _artifact(self, artifact: ArtifactRecord, files: Files) -> Iterator[source.Row]:
        if artifact.type == "run_table":  # the table of a log call, which is read from its own file
            return
        base = f"artifacts/{artifact.name}"
        told = {
            "name": artifact.name,
            "type": artifact.type,
            "aliases": list(artifact.aliases),
            "description": artifact.description,
            "metadata": json.loads(artifact.metadata or "{}"),
            "digest": artifact.digest,
            "references": {entry.path: entry.ref for entry in artifact.manifest.contents if entry.ref},
        }
        self.findings.counts[source.FILES] += 1
        yield "artifact", None, self._last_time, files.text(json.dumps(told, indent=1), f"{base}/artifact.json")
        for entry in artifact.manifest.contents:
            if entry.ref:
                continue
            self.findings.counts[source.FILES] += 1
            path = Path(entry.local_path)
            if not entry.local_path or not path.is_file() or _md5(path) != entry.digest:
                reason = "its file is not on this machine as it was logged; download it from W&B"
                self.findings.omit(f"artifact {artifact.name}/{entry.path}", reason)
                continue
            yield from self._file(path, f"{base}/{entry.path}", files)

    def _other_files(self, folder: Path, used: set[Path], files: Files) -> Iterator[source.Row]:
        """What else lies in the run's folder: saved files, requirements, the console's log, sounds, pages."""
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() and not path.exists():
                self.findings.counts[source.FILES] += 1
                self.findings.omit(f"file {path.name}", f"it is a link to {path.readlink()}, which is gone")
            elif path.is_file() and path not in used:
                self.findings.counts[source.FILES] += 1
                name = f"files/{path.relative_to(folder).as_posix()}"
                yield from self._file(path, name, files)

    def _file(self, path: Path, name: str, files: Files) -> Iterator[source.Row]:
        try:
            payload = files.artifact(path, name)
        except UsageError as error:
            self.findings.omit(f"file {name!r}", str(error))
            return
        yield "artifact", None, self._last_time, payload

    def _joined(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        found, doubled = joined(values)
        self._tell_doubled(kind, doubled)
        return found

    def _tell_doubled(self, kind: str, names: Sequence[str]) -> None:
        for name in names:
            self.findings.counts[kind] += 1
            self.findings.omit(f"{name!r} of {kind}", "two have this name once nested ones are joined by dots")

    def _counted(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        self.findings.counts[kind] += len(values)
        return dict(values)


def _identity(file: WandbFile) -> str:
    """Identity of the run that a file is of; its path where it holds none."""
    runs = (record.run for record in file.records() if record.WhichOneof("record_type") == "run")
    run = next(runs, None)
    return _identity_of(run) if run is not None else str(file.path)


def _identity_of(run: RunRecord) -> str:
    return f"{run.entity}/{run.project}/{run.run_id}"


def _update(values: dict[str, Any], record: ConfigRecord | SummaryRecord) -> None:
    """Apply changes and removals, nested ones in their place."""
    for item in record.update:
        put(values, tuple(item.nested_key) or (item.key,), json.loads(item.value_json))
    for item in record.remove:
        *outer, last = tuple(item.nested_key) or (item.key,)
        place = values
        for key in outer:
            place = place.get(key, {})
        place.pop(last, None)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "md5").digest()).decode()
