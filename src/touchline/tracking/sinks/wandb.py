"""Delivery to W&B: online when a key and a connection exist, else the journal keeps everything.

W&B's own step is the journal's sequence number, so late and out-of-order training steps survive and a replay
under the same id is recognised; charts use the metric ``global_step``. A row counts as delivered when the
server's tail, read back, has reached it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.tracking.capture import FACTS
from touchline.tracking.journal import Event
from touchline.tracking.probe import graphql, probe_wandb, wandb_base_url, wandb_key
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable
from touchline.tracking.sinks.wandb_core import await_leftover_core, remember_core

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger("touchline.courier")

INIT_SECONDS = 20
FINISH_SECONDS = 30
READ_BACK_SECONDS = 2.0
_TAIL = (
    "query RunResumeStatus($project: String, $entity: String, $name: String!) { model(name: $project, "
    "entityName: $entity) { bucket(name: $name, missingOk: true) { name historyTail } } }"
)
_EXIT_CODES = {"finished": 0, "failed": 1, "killed": 137, "preempted": 143}
_LEVELS = {"info": "INFO", "warn": "WARN", "error": "ERROR"}
_LONGEST_TAG = 64


class WandbSink:
    """Opens W&B runs under the run's own id."""

    name = "wandb"
    append_only = True

    def __init__(self, settings: Settings) -> None:
        """wandb itself is imported at the first ``open``, once the server is known to answer."""
        self._settings = settings
        self._sessions: dict[str, WandbSession] = {}
        self._handles: dict[str, wandb.Run] = {}
        cache = settings.home / "couriers" / "wandb-cache"
        os.environ.setdefault("WANDB_CACHE_DIR", str(cache))
        os.environ.setdefault("WANDB_DATA_DIR", str(cache))
        os.environ["WANDB_SILENT"] = "true"
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

    def check(self) -> None:
        """Probe key and server. Raises SinkUnavailable."""
        probe = probe_wandb(self._settings)
        if not probe.usable:
            raise SinkUnavailable(f"W&B: {probe.reason}", permanent=probe.permanent)

    def open(self, run: RunInfo, delivered: int, sent: int) -> WandbSession:
        """Open the run, or take up the session that an outage interrupted. Raises SinkUnavailable."""
        session = self._sessions.get(run.id)
        if session is None or session.is_closed:
            # The SDK refuses a second run of the same id, so one that was opened is kept until it can be used.
            if run.id not in self._handles:
                self._handles[run.id] = self._init(run)
            session = WandbSession(self._handles[run.id], self._settings, run, delivered, sent)
            self._sessions[run.id] = session
            del self._handles[run.id]
        session.resume_from = delivered if session.known else 0
        return session

    def _init(self, run: RunInfo) -> wandb.Run:
        import wandb

        await_leftover_core(self._settings)
        try:
            handle = wandb.init(
                entity=self._settings.wandb_entity,
                project=run.project,
                id=run.id,
                name=run.name,
                job_type=run.job,
                dir=str(run.directory),
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(
                    base_url=wandb_base_url(self._settings),
                    mode="online",
                    init_timeout=INIT_SECONDS,
                    finish_timeout=FINISH_SECONDS,
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    disable_job_creation=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                    x_file_stream_transmit_interval=READ_BACK_SECONDS,
                ),
            )
        except Exception as error:
            # After one failure the SDK calls the id "in use" for as long as the process lives.
            reason = f"W&B did not open the run ({' '.join(str(error).split())[:300]})."
            raise SinkUnavailable(reason, fresh_process=True) from error
        remember_core(self._settings)
        handle.define_metric("*", step_metric="global_step")
        return handle


class WandbSession:
    """One open W&B run."""

    def __init__(self, handle: wandb.Run, settings: Settings, run: RunInfo, delivered: int, sent: int) -> None:
        self._handle = handle
        self._settings = settings
        self._run = run
        self.remote_id = str(handle.id)
        self.url = str(handle.url or "")
        self.is_closed = False
        self.known = True
        self._tail = 0
        self._asked = 0.0
        try:
            self._ask_tail()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SinkUnavailable(f"W&B does not tell what it has of the run ({error}).") from error
        if self._tail == 0:  # the server has no row, whatever the cursor says
            self.known, delivered = delivered == 0, 0
        self.resume_from = delivered
        self._handed = self._tail
        self._told_once = sent
        self._last_row = self._handed
        self._done = delivered
        self._newest = delivered
        self._handlers: dict[str, Callable[[Event], None]] = {
            "metrics": self._metrics,
            "params": self._params,
            "tags": self._tags,
            "input": self._input,
            "alert": self._alert,
            "video": self._video,
            "artifact": self._artifact,
            "model": self._artifact,
        }

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Hand events to the SDK, which uploads them in the background."""
        refused = []
        for event in events:
            handle = self._handlers.get(event.kind)
            if handle is not None:
                try:
                    handle(event)
                except Exception as error:
                    logger.exception("event %s of %s", event.seq, self._run.id)
                    refused.append(SetAside(event.seq, f"{event.kind}: {' '.join(str(error).split())[:300]}"))
            self._newest = max(self._newest, event.seq)
        return refused

    def acknowledged(self) -> int:
        """Everything sent, once the server's tail has reached the last history row; else up to that tail."""
        if self._tail < self._last_row and time.monotonic() - self._asked >= READ_BACK_SECONDS:
            self._read_tail()
        self._done = max(self._done, self._newest if self._tail >= self._last_row else self._tail)
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Nothing is read back yet."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Set ``touchline/status`` in the summary, end the run with its exit code, and read back."""
        self._handle.summary.update({"touchline/status": status, "touchline/reason": reason})
        if alert:
            self._handle.alert(f"Run {self._run.name} was {status}", reason, level="ERROR")
        if status == "preempted":
            self._handle.mark_preempting()
        self._finish(_EXIT_CODES[status])

    def release(self) -> None:
        """Upload what is handed over; the run is opened again under the same id."""
        self._finish(0)

    def _finish(self, exit_code: int) -> None:
        self.is_closed = True
        self._handle.finish(exit_code=exit_code)
        self._read_tail()

    def _read_tail(self) -> None:
        try:
            self._ask_tail()
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("reading back %s: %s", self._run.id, error)

    def _ask_tail(self) -> None:
        """Ask the server for the step of its last history row; it stays 0 while there is none."""
        self._asked = time.monotonic()
        base_url = wandb_base_url(self._settings)
        variables = {"project": self._handle.project, "entity": self._handle.entity, "name": self.remote_id}
        answer = graphql(base_url, wandb_key(base_url) or "", _TAIL, variables, timeout=5.0)
        bucket = ((answer.get("data") or {}).get("model") or {}).get("bucket") or {}
        rows = json.loads(bucket.get("historyTail") or "[]")
        if rows:
            self._tail = max(self._tail, int(json.loads(rows[-1])["_step"]))

    def _row(self, event: Event, values: dict[str, Any]) -> None:
        self._last_row = max(self._last_row, event.seq)
        if event.seq <= self._handed:
            return
        row = {**values, "global_step": event.step or 0, "_timestamp": event.time}
        self._handle.log(row, step=event.seq, commit=True)
        self._handed = event.seq

    def _metrics(self, event: Event) -> None:
        self._row(event, event.metrics)

    def _video(self, event: Event) -> None:
        import wandb

        path = self._existing(event)
        video = wandb.Video(str(path), caption=event.payload["caption"] or None, format=path.suffix.lstrip("."))
        self._row(event, {event.payload["name"]: video})

    def _params(self, event: Event) -> None:
        self._handle.config.update(dict(event.payload), allow_val_change=True)

    def _tags(self, event: Event) -> None:
        facts = {name: value for name, value in event.payload.items() if name.startswith(FACTS)}
        if facts:  # W&B's tags are labels, so what was captured goes to its configuration
            self._handle.config.update(facts, allow_val_change=True)
        labels = {name: value for name, value in event.payload.items() if not name.startswith((*FACTS, "mlflow."))}
        new = [f"{name}={value}"[:_LONGEST_TAG] for name, value in labels.items()]
        self._handle.tags = tuple(dict.fromkeys([*(self._handle.tags or ()), *new]))

    def _input(self, event: Event) -> None:
        self._handle.config.update(
            {f"input.{event.payload['context']}": event.payload["model"]}, allow_val_change=True
        )

    def _alert(self, event: Event) -> None:
        if event.seq > self._told_once:
            payload = event.payload
            self._handle.alert(payload["title"], payload["text"], level=_LEVELS[payload["level"]], wait_duration=0)

    def _artifact(self, event: Event) -> None:
        import wandb

        path = self._existing(event)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self._run.id}-{event.payload['name']}")
        artifact = wandb.Artifact(name[-128:], type="model" if event.kind == "model" else "file")
        if path.is_dir():
            artifact.add_dir(str(path))
        else:
            artifact.add_file(str(path))
        self._handle.log_artifact(artifact)

    def _existing(self, event: Event) -> Path:
        path = self._run.directory / str(event.payload["path"])
        if not path.exists():
            raise FileNotFoundError(f"the kept copy {path} is gone")
        return path
