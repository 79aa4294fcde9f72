"""One open MLflow run: what each kind of event becomes there."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.journal import FILE_NAME, Event, JournalReader
from touchline.tracking.media import kept
from touchline.tracking.mlflow_store import unavailable
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable
from touchline.tracking.sinks.mlflow_artifacts import (
    STEPPED_FOLDERS,
    Uploads,
    files_of,
    newest_steps,
    stem,
    stepped_files,
)
from touchline.tracking.sinks.mlflow_batch import LONGEST_PARAM, LONGEST_TAG, Batch, BatchSender
from touchline.tracking.sinks.mlflow_console import ConsoleText
from touchline.tracking.sinks.mlflow_inputs import dataset_input
from touchline.tracking.sinks.mlflow_model import log_model

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

logger = logging.getLogger("touchline.courier")

STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "preempted": "KILLED", "pruned": "KILLED"}
REWINDS_TAG = "touchline.rewinds"
STATUS_TAG = "touchline.status"
"""How the run ended, in our words; MLflow has fewer."""
_TABLES_TAG = "mlflow.loggedArtifacts"

Handler = Callable[[Event, Batch], "list[SetAside] | None"]


class MlflowSession:
    """One MLflow run; every call returns only when the store has what it was given."""

    def __init__(
        self,
        client: MlflowClient,
        settings: Settings,
        run: RunInfo,
        entity: Run,
        *,
        resume_from: int,
        told: int,
        tried: int,
        before_close: Callable[[str], None],
    ) -> None:
        """``told``: the run there says that it has everything up to this sequence number.

        ``tried``: this machine handed over events up to this one before; ``before_close`` gets the MLflow run's id.
        """
        self._client = client
        self._settings = settings
        self._run = run
        self.remote_id = str(entity.info.run_id)
        self._experiment = str(entity.info.experiment_id)
        uri = settings.tracking_uri.rstrip("/")
        served = uri.startswith("http")
        self.url = f"{uri}/#/experiments/{self._experiment}/runs/{self.remote_id}" if served else ""
        self.resume_from = resume_from
        self._done = resume_from
        self._told = told
        self._last_time, ended = _so_far(run, resume_from)
        self._ended = entity.info.end_time or ended
        """When the run ended, in milliseconds; None while it goes on. What is logged later does not change it."""
        self._infinite: set[str] = set()
        self._rewinds = str(entity.data.tags.get(REWINDS_TAG, ""))
        self._tables: list[dict[str, str]] = json.loads(entity.data.tags.get(_TABLES_TAG) or "[]")
        self._before_close = before_close
        self._sender = BatchSender(client, settings, self.remote_id)
        self._uploads = Uploads(client, self.remote_id, run.directory / "delivery" / "mlflow.uploads", tried)
        self._console = ConsoleText(run.directory)
        self._handlers: dict[str, Handler] = {
            "start": self._start,
            "rewind": self._rewind,
            "metrics": self._metrics,
            "params": self._params,
            "tags": self._tags,
            "summary": self._summary,
            "goal": self._goal,
            "alert": self._alert,
            "decision": self._decision,
            "problem": self._problem,
            "artifact": self._artifact,
            "video": self._stepped,
            "image": self._stepped,
            "histogram": self._stepped,
            "table": self._stepped,
            "model": self._model,
            "milestone": self._milestone,
            "input": self._input,
            "dataset": self._dataset,
            "console": self._text,
        }

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Deliver the events. Raises SinkUnavailable; what MLflow refuses is returned instead."""
        batch, refused, last = Batch(), [], 0
        for event in events:
            handle = self._handlers.get(event.kind)
            if handle is not None:
                try:
                    refused += handle(event, batch) or []
                except Exception as error:
                    refused.append(self._sender.refusal(event.seq, event.kind, error, local=True))
            last = event.seq
            self._last_time = event.time
            if event.kind in ("start", "end"):
                self._ended = milliseconds(event.time) if event.kind == "end" else None
            if batch.is_full():
                refused += self._sender.send(batch, max(last, self._told))
                batch, last = Batch(), 0
        if last:
            refused += self._sender.send(batch, max(last, self._told))
        self._done = max(self._done, events[-1].seq) if events else self._done
        self._told = max(self._told, self._done)
        self._uploads.forget()
        if self._console.due():
            try:
                self._upload_console()
            except SinkUnavailable as error:  # no reason to hold up the metrics
                logger.warning("the console text of %s waits: %s", self._run.id, error)
                self._console.postpone()
        return refused

    def acknowledged(self) -> int:
        """Newest delivered sequence number."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Newest step of every metric, and of every image, video, histogram and table."""
        try:
            newest = self._client.get_run(self.remote_id).data.to_proto().metrics
            paths = [path for folder in STEPPED_FOLDERS for path in self._uploads.sizes(folder)]
        except Exception as error:
            raise unavailable(self._settings, error) from error
        marks = newest_steps(iter(paths))
        for metric in newest:
            marks[metric.key] = max(int(metric.step), marks.get(metric.key, 0))
        return marks

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Set MLflow's own status and the tags ``touchline.status`` and ``touchline.reason``."""
        try:
            self._console.fill(self._done)
            if self._console.has_text():
                self._upload_console()
            self._before_close(self.remote_id)
            batch = Batch()
            batch.add_tag(self._done, STATUS_TAG, status)
            if alert:
                batch.add_tag(self._done, "touchline.alert", f"error: the run was {status}")
            if reason:
                batch.add_tag(self._done, "touchline.reason", reason)
            self._sender.send(batch, max(self._done, self._told))
            self._client.set_terminated(self.remote_id, STATUS[status], self._ended or milliseconds(self._last_time))
        except SinkUnavailable:
            raise
        except Exception as error:
            raise unavailable(self._settings, error) from error

    def release(self) -> None:
        """Nothing is held."""

    def _start(self, event: Event, batch: Batch) -> None:
        batch.add_tag(event.seq, STATUS_TAG, "running")
        batch.add_tag(event.seq, "touchline.host", event.payload["process"]["host"])
        if event.payload.get("command"):
            batch.add_tag(event.seq, "mlflow.source.name", event.payload["command"][0])
            batch.add_tag(event.seq, "mlflow.source.type", "LOCAL")
        for name in ("group", "parent"):
            if event.payload.get(name):
                batch.add_tag(event.seq, f"touchline.{name}", event.payload[name])
        if event.payload.get("resumed"):
            self._client.update_run(self.remote_id, status="RUNNING")
            told = self._client.get_run(self.remote_id).data.tags
            for name in {"touchline.reason", "touchline.alert"} & told.keys():  # how an earlier attempt ended
                self._client.delete_tag(self.remote_id, name)

    def _rewind(self, event: Event, batch: Batch) -> None:
        if event.seq > self._told:
            self._rewinds = f"{self._rewinds},{event.step}".lstrip(",")
            self._told = event.seq
        batch.add_tag(event.seq, REWINDS_TAG, self._rewinds)

    def _metrics(self, event: Event, batch: Batch) -> list[SetAside]:
        from mlflow.entities import Metric

        refused, bad = [], self._sender.bad_names
        moment, step = milliseconds(event.time), event.step or 0
        for name, value in event.metrics.items():
            if name in bad:
                refused.append(SetAside(event.seq, bad[name]))
                continue
            batch.metrics.append((event.seq, Metric(name, value, moment, step)))
            if math.isinf(value) and name not in self._infinite:
                # MLflow stores an infinity as the largest float, so the truth is told beside it.
                self._infinite.add(name)
                batch.add_tag(event.seq, "touchline.infinite", ", ".join(sorted(self._infinite)))
        return refused

    def _params(self, event: Event, batch: Batch) -> list[SetAside]:
        refused, long = [], {}
        for name, value in event.payload.items():
            text = str(value)
            if len(text) > LONGEST_PARAM:
                long[name] = text
            refused += batch.add_param(event.seq, name, text[:LONGEST_PARAM])
        if long:
            folder = self._run.directory / "delivery" / "mlflow-params"
            folder.mkdir(parents=True, exist_ok=True)
            files = {f"params/{stem(name)}.txt": folder / f"{stem(name)}.txt" for name in long}
            for path, text in zip(files.values(), long.values(), strict=True):
                path.write_text(text, encoding="utf-8")
            self._uploads.put(event.seq, files)
        return refused

    def _tags(self, event: Event, batch: Batch) -> None:
        for name, value in event.payload.items():
            batch.add_tag(event.seq, name, value)

    def _summary(self, event: Event, batch: Batch) -> None:
        for name, value in event.payload.items():
            batch.add_tag(event.seq, f"touchline.summary.{name}", value)

    def _goal(self, event: Event, batch: Batch) -> None:
        for name, goal in event.payload.items():
            batch.add_tag(event.seq, f"touchline.goal.{name}", goal)

    def _alert(self, event: Event, batch: Batch) -> None:
        text = f"{event.payload['level']}: {event.payload['title']}. {event.payload['text']}"
        batch.add_tag(event.seq, f"touchline.alert.{event.seq}", text)

    def _decision(self, event: Event, batch: Batch) -> None:
        batch.add_tag(event.seq, f"touchline.decision.{event.seq}", headline_of_decision(event.payload))

    def _problem(self, event: Event, batch: Batch) -> None:
        text = f"{event.payload['metric']}: {event.payload['reason']}"
        batch.add_tag(event.seq, f"touchline.problem.{event.seq}", text)

    def _artifact(self, event: Event, batch: Batch) -> None:
        self._uploads.put(event.seq, files_of(self._kept(event), event.payload["name"]))

    def _stepped(self, event: Event, batch: Batch) -> None:
        with stepped_files(self._run.id, event, self._kept(event) if "path" in event.payload else None) as files:
            self._uploads.put(event.seq, files)
        if event.kind == "image":
            batch.add_tag(event.seq, "mlflow.loggedImages", "True")
        elif event.kind == "table":
            # The list by which MLflow's pages find tables; a longer one than a tag holds stays as it is.
            tables = [*self._tables, *({"path": path, "type": "table"} for path in files)]
            tables = [table for place, table in enumerate(tables) if table not in tables[:place]]
            if len(json.dumps(tables)) <= LONGEST_TAG:
                self._tables = tables
                batch.add_tag(event.seq, _TABLES_TAG, json.dumps(tables))

    def _model(self, event: Event, batch: Batch) -> None:
        model_id = log_model(self._client, self._settings, self._run, self.remote_id, self._experiment, event)
        batch.add_tag(event.seq, f"touchline.model.{event.payload['name']}", model_id)

    def _milestone(self, event: Event, batch: Batch) -> None:
        payload = event.payload
        known = {name: payload[name] for name in ("version", "aliases", "digest")}
        batch.add_tag(event.seq, f"touchline.milestone.{payload['name']}.v{payload['version']}", json.dumps(known))

    def _input(self, event: Event, batch: Batch) -> None:
        from mlflow.entities import LoggedModelInput

        uri, context = str(event.payload["model"]), event.payload["context"]
        batch.add_tag(event.seq, f"touchline.input.{context}", uri)
        for name in ("digest", "run"):
            if told := event.payload.get(name):
                batch.add_tag(event.seq, f"touchline.input_{name}.{context}", told)
        model_id = event.payload.get("model_id") or uri.removeprefix("models:/")
        if model_id.startswith("m-"):
            self._client.log_inputs(self.remote_id, models=[LoggedModelInput(model_id)])

    def _dataset(self, event: Event, batch: Batch) -> None:
        self._client.log_inputs(self.remote_id, datasets=[dataset_input(event.payload)])
        batch.add_tag(event.seq, f"touchline.dataset.{event.payload['name']}", event.payload["digest"])

    def _text(self, event: Event, batch: Batch) -> None:
        self._console.add(event)

    def _kept(self, event: Event) -> Path:
        return kept(self._run.directory, event.payload["path"])

    def _upload_console(self) -> None:
        try:
            self._client.log_artifact(self.remote_id, str(self._console.path))
        except Exception as error:
            raise unavailable(self._settings, error) from error
        self._console.uploaded()


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds, MLflow's unit of time."""
    return int(seconds * 1000)


def _so_far(run: RunInfo, upto: int) -> tuple[float, int | None]:
    """The time of the event ``upto``, and in milliseconds when the run had ended by it.

    A courier may have been killed between the last event and the close.
    """
    with JournalReader(run.directory / FILE_NAME) as journal:
        last = journal.after(upto - 1, 1)
        marks = [event for event in journal.of_kind(("start", "end")) if event.seq <= upto]
    time = last[0].time if upto and last else run.started
    return time, milliseconds(marks[-1].time) if marks and marks[-1].kind == "end" else None
