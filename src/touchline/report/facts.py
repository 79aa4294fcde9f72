"""What one run's journal says, but for its curves: how it ended, what it was given, what it told and kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.catalog.lineage import RESULT_TAG, STUDY_TAG
from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.media import kept
from touchline.tracking.rewind import Timeline
from touchline.tracking.status import RunStatus, read_status

_KINDS = (
    "start", "params", "tags", "summary", "goal", "alert", "decision", "problem", "video", "artifact",
    "milestone", "rewind",
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """Something that was told at a moment: an alert, a decision, a problem."""

    time: float
    """Seconds since the epoch."""
    step: int | None
    level: str
    """info, warn or error."""
    title: str
    text: str


@dataclass(frozen=True)
class Film:
    """One video of a run."""

    path: Path
    name: str
    step: int | None
    caption: str
    time: float
    """Seconds since the epoch."""
    job: str


@dataclass(frozen=True)
class Facts:
    """One run."""

    status: RunStatus
    directory: Path
    group: str
    command: str
    host: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    summary: Mapping[str, Any]
    goals: Mapping[str, str]
    """Metric → maximize or minimize."""
    sentences: tuple[str, ...]
    """What its job said of its result."""
    alerts: tuple[Mark, ...]
    """Alerts and problems in order."""
    decisions: tuple[Mark, ...]
    """What was decided on registered models."""
    decision: Mapping[str, Any] | None
    """The newest decision on a registered model."""
    milestone: Mapping[str, Any] | None
    """The newest version that it registered or that got an alias."""
    films: tuple[Film, ...]
    """Videos of the newest attempt, the newest first."""
    evidence: Path | None
    """What the verdict of its gate rests on."""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.status.id

    @property
    def job(self) -> str:
        """The job that it is a run of."""
        return self.status.job


def read_facts(directory: Path) -> Facts:
    """Read the run in ``directory``. Raises TouchlineError when its journal cannot be read."""
    status = read_status(directory)
    with JournalReader(directory / FILE_NAME) as journal:
        events = journal.of_kind(_KINDS)
    of: dict[str, list[Event]] = {kind: [] for kind in _KINDS}
    for event in events:
        of[event.kind].append(event)
    timeline = Timeline.of(of["rewind"])
    start: Mapping[str, Any] = of["start"][-1].payload if of["start"] else {}
    tags = {name: str(value) for name, value in _merged(of["tags"]).items()}
    artifacts = {str(event.payload["name"]): kept(directory, event.payload["path"]) for event in of["artifact"]}
    evidence = artifacts.get("evidence.json")
    return Facts(
        status=status,
        directory=directory,
        group=str(start.get("group") or ""),
        command=" ".join(map(str, start.get("command") or ())),
        host=str(start.get("host") or ""),
        params=_merged(of["params"]),
        tags=tags,
        summary=_merged(of["summary"]),
        goals={name: str(goal) for name, goal in _merged(of["goal"]).items()},
        sentences=_sentences(tags),
        alerts=tuple(_mark(event) for event in events if event.kind in ("alert", "problem")),
        decisions=tuple(_mark(event) for event in of["decision"]),
        decision=of["decision"][-1].payload if of["decision"] else None,
        milestone=of["milestone"][-1].payload if of["milestone"] else None,
        films=tuple(_film(directory, event, status.job) for event in of["video"][::-1] if timeline.is_current(event)),
        evidence=evidence if evidence is not None and evidence.is_file() else None,
    )


def study_of(facts: Facts) -> str:
    """The study that a run is, or is a trial of, or got its configuration from; empty for none."""
    if facts.job == "tune" and "study" in facts.params:
        return str(facts.params["study"])
    return facts.tags.get(STUDY_TAG, "")


def _merged(events: Iterable[Event]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for event in events:
        merged.update(event.payload)
    return merged


def _sentences(tags: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(tags.get(RESULT_TAG, "{}")).get("sentences", ())))
    except (ValueError, AttributeError):  # a tag of this name that is not ours
        return ()


def _mark(event: Event) -> Mark:
    payload = event.payload
    if event.kind == "decision":
        level = "info" if payload["decision"] == "promoted" else "warn"
        title, _, text = headline_of_decision(payload).partition(": ")
        return Mark(event.time, event.step, level, title, text)
    if event.kind == "problem":
        return Mark(event.time, event.step, "warn", f"Problem: {payload.get('metric')}", str(payload.get("reason")))
    level, title, text = (str(payload.get(name) or "") for name in ("level", "title", "text"))
    return Mark(event.time, event.step, level, title, text)


def _film(directory: Path, event: Event, job: str) -> Film:
    payload = event.payload
    caption, path = str(payload.get("caption") or ""), kept(directory, payload["path"])
    return Film(path, str(payload["name"]), event.step, caption, event.time, job)
