"""What each kind of event becomes in a W&B run, online and offline alike."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.tracking.decisions import level_of_decision, title_of_decision
from touchline.tracking.events import slug
from touchline.tracking.journal import Event
from touchline.tracking.media import check_path, kept
from touchline.tracking.sinks.base import RunInfo, SetAside

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger("touchline.courier")

STATE = ("params", "tags", "input", "dataset", "goal", "summary", "rewind")
"""Kinds that say what holds for the run from then on; saying them twice changes nothing."""
_LEVELS = {"info": "INFO", "warn": "WARN", "error": "ERROR"}
_LONGEST_TAG = 64
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_RESERVED = frozenset(("", "_step", "_timestamp", "_runtime", "_wandb"))
"""Names of metrics that the SDK drops without a word, or writes its own values under."""


class WandbEvents:
    """Hands events to one open run of the SDK, history rows under their sequence number as step."""

    def __init__(self, handle: wandb.Run, run: RunInfo, handed: int = 0, alerted: int = 0, lines: int = 0) -> None:
        """Leave out what the far side has: rows and alerts up to a sequence number, and that many console lines."""
        self.handle = handle
        self.last_row = handed
        """Sequence number of the newest history row seen, handed over or already there."""
        self.alerted = alerted
        self._run = run
        self._handed = handed
        self._applied = 0
        self._lines_there = lines
        self._lines = 0
        self._rewinds: list[int] = []
        self._goals: dict[str, str] = {}
        self._uploads: dict[int, Upload] = {}
        self._refused: list[SetAside] = []
        self._refused_names: set[str] = set()
        self._handlers: dict[str, Callable[[Event], None]] = {
            "metrics": self._metrics,
            "image": self._image,
            "video": self._video,
            "histogram": self._histogram,
            "table": self._table,
            "params": self._params,
            "tags": self._tags,
            "input": self._input,
            "dataset": self._dataset,
            "summary": self._summary,
            "goal": self._goal,
            "rewind": self._rewind,
            "console": self._console,
            "alert": self._alert,
            "decision": self._decision,
            "artifact": self._artifact,
            "model": self._artifact,
            "milestone": self._milestone,
        }

    def apply(self, event: Event) -> bool:
        """Hand over one event, once; True when it made a new history row.

        Raises whatever the SDK or a bad event does.
        """
        before = self._handed
        if event.seq > self._applied:
            self._applied = event.seq
            self._dispatch(event)
        return self._handed > before

    def _dispatch(self, event: Event) -> None:
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(event)

    def restate(self, events: Iterable[Event]) -> None:
        """Say again what an earlier session said last: the SDK sends such things late, and a kill loses them."""
        for event in events:
            if event.kind == "console":
                self._lines += len(_lines(event))
            else:
                try:
                    self._dispatch(event)
                except Exception as error:
                    logger.warning("event %s of %s: %s", event.seq, self._run.id, error)

    def uploads(self) -> dict[int, Upload]:
        """The artifacts that are not known to have arrived, by sequence number; the caller may drop one."""
        for seq in [seq for seq, upload in self._uploads.items() if upload.has_arrived]:
            del self._uploads[seq]
        return self._uploads

    def refused(self) -> list[SetAside]:
        """What W&B cannot take of the events so far, each name once; empties the list."""
        refused, self._refused = self._refused, []
        return refused

    def _media(self, event: Event, media: Any) -> None:
        # The SDK makes the path of a file of the name, and follows it wherever it leads.
        check_path(str(event.payload["name"]))
        self._row(event, {event.payload["name"]: media})

    def _row(self, event: Event, values: dict[str, Any]) -> None:
        self.last_row = max(self.last_row, event.seq)
        if event.seq > self._handed:
            row = {**values, "global_step": event.step or 0, "_timestamp": event.time}
            self.handle.log(row, step=event.seq, commit=True)
            self._handed = event.seq

    def _metrics(self, event: Event) -> None:
        if not event.payload:  # a rewind or the thinning left nothing of it
            return
        values = event.metrics
        taken = _RESERVED.intersection(values)
        if values.get("global_step", event.step) != event.step:
            taken |= {"global_step"}
        if new := sorted(taken - self._refused_names):
            self._refused_names |= taken
            names = ", ".join(map(repr, new))
            reason = f"metrics: W&B keeps the name {names} for itself; log the metric under another one"
            self._refused.append(SetAside(event.seq, reason))
        self._row(event, {name: value for name, value in values.items() if name not in taken} if taken else values)
        for name, goal in self._goals.items():
            if name in event.payload:
                self._best(name, goal, float(event.payload[name]), event.step)

    def _best(self, name: str, goal: str, value: float, step: int | None) -> None:
        # The SDK's own best value starts anew with every session, so it is kept here.
        best = self.handle.summary.get(f"best/{name}")
        if value == value and (
            not isinstance(best, int | float) or (value > best if goal == "maximize" else value < best)
        ):
            self.handle.summary.update({f"best/{name}": value, f"best/{name}/step": step})

    def _image(self, event: Event) -> None:
        import wandb

        path = self._existing(event)
        self._media(event, wandb.Image(str(path), caption=event.payload["caption"] or None))

    def _video(self, event: Event) -> None:
        import wandb

        path = self._existing(event)
        video = wandb.Video(str(path), caption=event.payload["caption"] or None, format=path.suffix.lstrip("."))
        self._media(event, video)

    def _histogram(self, event: Event) -> None:
        import wandb

        payload = event.payload
        values = {payload["name"]: wandb.Histogram(np_histogram=(payload["counts"], payload["edges"]))}
        if payload.get("non_finite"):
            values[f"{payload['name']}/non_finite"] = payload["non_finite"]
        self._row(event, values)

    def _table(self, event: Event) -> None:
        import wandb

        if event.seq > self._handed:  # a table is an artifact too, and is made when it is logged
            payload = event.payload
            table = wandb.Table(columns=payload["columns"], data=payload["rows"], allow_mixed_types=True)
            self._media(event, table)
        self.last_row = max(self.last_row, event.seq)

    def _params(self, event: Event) -> None:
        self.handle.config.update(dict(event.payload), allow_val_change=True)

    def _tags(self, event: Event) -> None:
        own = {name: value for name, value in event.payload.items() if not name.startswith("mlflow.")}
        # W&B shows every tag beside the run's name; what describes the run from within (git.commit) suits its config.
        described = {name: value for name, value in own.items() if "." in name}
        if described:
            self.handle.config.update(described, allow_val_change=True)
        plain = {name: value for name, value in own.items() if name not in described}
        new = [(f"{name}={value}" if value else name)[:_LONGEST_TAG] for name, value in plain.items()]
        # A later value of a tag replaces the earlier one.
        names = tuple(f"{name}=" for name in event.payload)
        kept = [tag for tag in self.handle.tags or () if not tag.startswith(names)]
        self.handle.tags = tuple(dict.fromkeys([*kept, *new]))

    def _input(self, event: Event) -> None:
        payload = event.payload
        context = payload["context"]
        told = {f"input_{name}.{context}": payload[name] for name in ("digest", "run") if name in payload}
        self.handle.config.update({f"input.{context}": payload["model"], **told}, allow_val_change=True)

    def _dataset(self, event: Event) -> None:
        dataset = {key: event.payload[key] for key in ("name", "digest", "source")}
        self.handle.config.update({f"dataset.{event.payload['context']}": dataset}, allow_val_change=True)

    def _summary(self, event: Event) -> None:
        decoded = {
            name: float(value) if isinstance(value, str) and value in _NOT_FINITE else value
            for name, value in event.payload.items()
        }
        self.handle.summary.update(decoded)

    def _goal(self, event: Event) -> None:
        for name, goal in event.payload.items():
            self._goals[name] = goal
            self.handle.define_metric(name, step_metric="global_step")

    def _rewind(self, event: Event) -> None:
        self._rewinds.append(event.step or 0)
        self.handle.config.update({"touchline.rewinds": list(self._rewinds)}, allow_val_change=True)

    def _console(self, event: Event) -> None:
        for line in _lines(event):
            self._lines += 1
            if self._lines > self._lines_there:
                self.handle.write_logs(line)

    def _alert(self, event: Event) -> None:
        self._tell(event, event.payload["title"], event.payload["text"], event.payload["level"])

    def _decision(self, event: Event) -> None:
        payload = event.payload
        self._tell(event, title_of_decision(payload), payload["reason"], level_of_decision(payload))

    def _tell(self, event: Event, title: str, text: str, level: str) -> None:
        if event.seq > self.alerted:
            self.handle.alert(title, text, level=_LEVELS[level], wait_duration=0)
            self.alerted = event.seq

    def _artifact(self, event: Event) -> None:
        name = f"{self._run.id}-{event.payload['name']}"
        self._upload(event, name, "model" if event.kind == "model" else "file", {}, [])

    def _milestone(self, event: Event) -> None:
        payload = event.payload
        metadata = {key: payload[key] for key in ("name", "version", "digest")}
        aliases = [re.sub(r"[/:]", "-", str(alias)) for alias in payload["aliases"]]
        self._upload(event, str(payload["name"]), "model", metadata, aliases)

    def _upload(self, event: Event, name: str, kind: str, metadata: dict[str, Any], aliases: list[str]) -> None:
        import wandb

        path = self._existing(event)
        artifact = wandb.Artifact(slug(name)[-128:], type=kind, metadata=metadata)
        # The run keeps its own copy, which nothing changes: the SDK needs no second one.
        if path.is_dir():
            artifact.add_dir(str(path), skip_cache=True, policy="immutable")
        else:
            artifact.add_file(str(path), skip_cache=True, policy="immutable")
        logged = self.handle.log_artifact(artifact, aliases=aliases or None)
        if not self.handle.offline:
            self._uploads[event.seq] = Upload(logged)

    def _existing(self, event: Event) -> Path:
        path = kept(self._run.directory, event.payload["path"])
        if not path.exists():
            raise FileNotFoundError(f"the kept copy {path} is gone")
        return path


class Upload:
    """Waits beside the session until one artifact has arrived; the SDK's own wait cannot be asked twice."""

    def __init__(self, artifact: wandb.Artifact) -> None:
        self.has_arrived = False
        self.error = ""
        """Why it never will, once the SDK has given up."""
        self._artifact = artifact
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        try:
            self._artifact.wait()
            self.has_arrived = True
        except Exception as error:
            self.error = " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _lines(event: Event) -> list[str]:
    """The lines of a console event as W&B shows them: of a progress bar, what it ended with."""
    return [line.rsplit("\r", 1)[-1] for line in str(event.payload["text"]).rstrip("\r\n").split("\n")]
