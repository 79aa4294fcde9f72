"""Delivery to MLflow: any tracking URI, metrics in batches with the journal's own timestamps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.mlflow_store import check_store, connect, ensure_experiment, unavailable
from touchline.tracking.sinks.base import RunInfo, RunRefused, SetAside
from touchline.tracking.sinks.mlflow_model import log_model

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

RUN_ID_TAG = "touchline.run_id"
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED", "preempted": "KILLED"}
_METRICS_A_CALL = 1_000
_ENTRIES_A_CALL = 100
_LONGEST_PARAM = 6_000
_LONGEST_TAG = 5_000
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED")


class MlflowSink:
    """Opens MLflow runs, found again through their tag ``touchline.run_id``."""

    name = "mlflow"
    append_only = True

    def __init__(self, settings: Settings) -> None:
        """MLflow itself is imported at the first ``open``, once the store is known to answer."""
        self._settings = settings
        self._client: MlflowClient | None = None

    def check(self) -> None:
        """Ask the store for a sign of life. Raises SinkUnavailable."""
        check_store(self._settings)

    def open(self, run: RunInfo, delivered: int, sent: int) -> MlflowSession:
        """Find or create the run. Raises SinkUnavailable, or RunRefused when it was deleted in MLflow."""
        self._client = self._client or connect(self._settings)
        try:
            experiment = ensure_experiment(self._client, self._settings, run.project)
            found = self._find(experiment, run.id)
            created = found is None
            entity = found or self._client.create_run(
                experiment,
                start_time=_milliseconds(run.started),
                tags={RUN_ID_TAG: run.id, "touchline.job": run.job, "touchline.status": "running"},
                run_name=run.name,
            )
        except RunRefused:
            raise
        except Exception as error:
            self._client = None
            raise unavailable(self._settings, error) from error
        return MlflowSession(self._client, self._settings, run, entity, 0 if created else delivered)

    def _find(self, experiment: str, run_id: str) -> Run | None:
        from mlflow.entities import ViewType

        assert self._client is not None
        query = f"tags.`{RUN_ID_TAG}` = '{run_id}'"
        found = self._client.search_runs([experiment], query, run_view_type=ViewType.ALL, max_results=1)
        if not found:
            return None
        if found[0].info.lifecycle_stage == "deleted":
            raise RunRefused(
                f"The run was deleted in MLflow. Restore it with: mlflow runs restore --run-id {found[0].info.run_id}"
            )
        return found[0]


@dataclass
class _Batch:
    """Entries of one ``log_batch`` call, each with the sequence number it came from."""

    metrics: list[tuple[int, Metric]] = field(default_factory=list)
    params: list[tuple[int, str, str]] = field(default_factory=list)
    tags: list[tuple[int, str, str]] = field(default_factory=list)

    def is_full(self) -> bool:
        return len(self.metrics) >= _METRICS_A_CALL or max(len(self.params), len(self.tags)) >= _ENTRIES_A_CALL


class MlflowSession:
    """One MLflow run; every call returns only when the store has what it was given."""

    def __init__(self, client: MlflowClient, settings: Settings, run: RunInfo, entity: Run, resume_from: int) -> None:
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
        self._last_time = run.started
        self._infinite: set[str] = set()
        self._handlers: dict[str, Callable[[Event, _Batch], None]] = {
            "start": self._start,
            "metrics": self._metrics,
            "params": self._params,
            "tags": self._tags,
            "alert": self._alert,
            "problem": self._problem,
            "artifact": self._artifact,
            "video": self._artifact,
            "model": self._model,
            "input": self._input,
        }

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Deliver the events. Raises SinkUnavailable; what MLflow refuses is returned instead."""
        batch, refused = _Batch(), []
        for event in events:
            handle = self._handlers.get(event.kind)
            if handle is not None:
                try:
                    handle(event, batch)
                except Exception as error:
                    refused.append(self._refusal(event.seq, event.kind, error))
            if batch.is_full():
                refused += self._flush(batch)
                batch = _Batch()
            self._last_time = event.time
        refused += self._flush(batch)
        self._done = max(self._done, events[-1].seq) if events else self._done
        return refused

    def acknowledged(self) -> int:
        """Newest delivered sequence number."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """Nothing is read back yet."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Set MLflow's own status and the tags ``touchline.status`` and ``touchline.reason``."""
        try:
            self._client.set_tag(self.remote_id, "touchline.status", status)
            if alert:
                self._client.set_tag(self.remote_id, "touchline.alert", f"error: the run was {status}")
            if reason:
                self._client.set_tag(self.remote_id, "touchline.reason", reason[:_LONGEST_TAG])
            self._client.set_terminated(self.remote_id, STATUS[status], _milliseconds(self._last_time))
        except Exception as error:
            raise unavailable(self._settings, error) from error

    def release(self) -> None:
        """Nothing is held."""

    def _start(self, event: Event, batch: _Batch) -> None:
        batch.tags.append((event.seq, "touchline.status", "running"))
        batch.tags.append((event.seq, "touchline.host", str(event.payload["process"]["host"])))
        if event.payload.get("resumed"):
            self._client.update_run(self.remote_id, status="RUNNING")

    def _metrics(self, event: Event, batch: _Batch) -> None:
        from mlflow.entities import Metric

        for name, value in event.metrics.items():
            metric = Metric(name, value, _milliseconds(event.time), event.step or 0)
            batch.metrics.append((event.seq, metric))
            if math.isinf(value) and name not in self._infinite:
                # MLflow stores an infinity as the largest float, so the truth is told beside it.
                self._infinite.add(name)
                batch.tags.append((event.seq, "touchline.infinite", ", ".join(sorted(self._infinite))))

    def _params(self, event: Event, batch: _Batch) -> None:
        for name, value in event.payload.items():
            text = str(value)
            if len(text) > _LONGEST_PARAM:
                self._client.log_text(self.remote_id, text, f"params/{name.replace('/', '_')}.txt")
            batch.params.append((event.seq, name, text[:_LONGEST_PARAM]))

    def _tags(self, event: Event, batch: _Batch) -> None:
        batch.tags += [(event.seq, name, str(value)[:_LONGEST_TAG]) for name, value in event.payload.items()]

    def _alert(self, event: Event, batch: _Batch) -> None:
        text = f"{event.payload['level']}: {event.payload['title']}. {event.payload['text']}"
        batch.tags.append((event.seq, f"touchline.alert.{event.seq}", text[:_LONGEST_TAG]))

    def _problem(self, event: Event, batch: _Batch) -> None:
        text = f"{event.payload['metric']}: {event.payload['reason']}"
        batch.tags.append((event.seq, f"touchline.problem.{event.seq}", text[:_LONGEST_TAG]))

    def _artifact(self, event: Event, batch: _Batch) -> None:
        path = self._run.directory / event.payload["path"]
        folder = Path("videos") if event.kind == "video" else Path(event.payload["name"]).parent
        if path.is_dir():
            self._client.log_artifacts(self.remote_id, str(path), event.payload["name"])
        else:
            self._client.log_artifact(self.remote_id, str(path), None if folder == Path() else str(folder))

    def _model(self, event: Event, batch: _Batch) -> None:
        model_id = log_model(self._client, self._settings, self._run, self.remote_id, self._experiment, event)
        self._client.set_tag(self.remote_id, f"touchline.model.{event.payload['name']}", model_id)

    def _input(self, event: Event, batch: _Batch) -> None:
        from mlflow.entities import LoggedModelInput

        model, context = event.payload["model"], event.payload["context"]
        batch.tags.append((event.seq, f"touchline.input.{context}", model))
        model_id = model.removeprefix("models:/")
        if model_id.startswith("m-"):
            self._client.log_inputs(self.remote_id, models=[LoggedModelInput(model_id)])

    def _flush(self, batch: _Batch) -> list[SetAside]:
        """Send one batch; when MLflow refuses it, entry by entry, so that only the refused ones stay behind."""
        try:
            self._log(batch)
            return []
        except Exception as error:
            self._refusal(0, "batch", error)
        singles = [_Batch(metrics=[metric]) for metric in batch.metrics]
        singles += [_Batch(params=[param]) for param in batch.params]
        singles += [_Batch(tags=[tag]) for tag in batch.tags]
        refused = []
        for single in singles:
            entry: Any = (single.metrics + single.params + single.tags)[0]
            name = entry[1].key if single.metrics else entry[1]
            try:
                self._log(single)
            except Exception as error:
                refused.append(self._refusal(entry[0], name, error))
        return refused

    def _log(self, batch: _Batch) -> None:
        from mlflow.entities import Param, RunTag

        if batch.metrics or batch.params or batch.tags:
            self._client.log_batch(
                self.remote_id,
                metrics=[metric for _, metric in batch.metrics],
                params=[Param(name, value) for _, name, value in batch.params],
                tags=[RunTag(name, value) for _, name, value in batch.tags],
            )

    def _refusal(self, seq: int, what: str, error: Exception) -> SetAside:
        """Return what is refused for good; raises SinkUnavailable when trying again may help."""
        code = getattr(error, "error_code", "")
        if code in _REFUSALS or isinstance(error, FileNotFoundError | KeyError | ValueError | TypeError):
            return SetAside(seq, f"{what}: {' '.join(str(error).split())[:300]}")
        if what == "model" and not code:
            return SetAside(seq, f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        raise unavailable(self._settings, error) from error


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
