"""What a report is about: one run, or the runs of one pipeline or group, found by a word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from touchline.catalog.lineage import PIPELINE_TAG
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError, nearest
from touchline.tracking.find import LAST, existing_home, last_of
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.sync import run_ids


@dataclass(frozen=True)
class Subject:
    """The runs of one report, the one that was begun first first."""

    kind: Literal["run", "pipeline", "group"]
    name: str
    """Id of the run or the pipeline, or the group's name."""
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Recorded:
    """What must be known of every run of a home, to find those that belong together."""

    id: str
    started: float
    """Seconds since the epoch."""
    job: str
    group: str
    pipeline: str


def find_subject(settings: Settings, word: str) -> Subject:
    """What ``word`` means: the id of a run, a pipeline or a group, the beginning of exactly one, or "last".

    "last" is the run that was started or resumed last, with the pipeline that it is a part of. Raises UsageError
    when there is none, with the nearest, or more than one.
    """
    existing_home(settings)
    everything = run_ids(settings)
    if not everything:
        raise UsageError(f"There is nothing to report: the home {settings.home} has no runs yet.")
    known = list(recorded(settings))
    if word == LAST:
        newest = last_of(settings, [run.id for run in known] or everything)
        pipeline = next((run.pipeline for run in known if run.id == newest), "")
        return _subject(known, pipeline or newest)
    # A run whose journal cannot be read is one all the same: who reads it says what is wrong with it.
    named = (name for run in known for name in (run.id, run.pipeline, run.group) if name)
    names = dict.fromkeys([*named, *everything])
    if word in names:
        return _subject(known, word)
    matches = [name for name in names if word and name.startswith(word)]
    if len(matches) == 1:
        return _subject(known, matches[0])
    if matches:
        some = ", ".join(matches[:5]) + (f" and {len(matches) - 5} more" if len(matches) > 5 else "")
        raise UsageError(f"{word!r} is not unique: it may be {some}. Write more of it.")
    guess = nearest(word, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UsageError(
        f"There is no run, pipeline or group {word!r} in {settings.home}.{hint} List the runs with: touchline runs"
    )


def recorded(settings: Settings) -> Iterator[Recorded]:
    """Every run of the home whose journal can be read, the oldest first."""
    for run_id in run_ids(settings):
        with (
            contextlib.suppress(TouchlineError),
            JournalReader(settings.run_directory(run_id) / FILE_NAME) as journal,
        ):
            marks = journal.of_kind(("start", "tags"))
            start = next((event for event in marks if event.kind == "start"), None)
            if start is None:
                continue
            tags: Mapping[str, str] = {
                name: value for event in marks if event.kind == "tags" for name, value in event.payload.items()
            }
            group = str(start.payload.get("group") or "")
            yield Recorded(run_id, start.time, str(start.payload["job"]), group, tags.get(PIPELINE_TAG, ""))


def _subject(known: Sequence[Recorded], name: str) -> Subject:
    # The run of a study has the name of the group that its trials are.
    if any(run.id == name for run in known) or not any(name in (run.pipeline, run.group) for run in known):
        return Subject("run", name, (name,))
    kind: Literal["pipeline", "group"] = "pipeline" if any(run.pipeline == name for run in known) else "group"
    runs = [run for run in known if name in (run.pipeline, run.group)]
    return Subject(kind, name, tuple(run.id for run in sorted(runs, key=lambda run: run.started)))
