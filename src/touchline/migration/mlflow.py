"""Runs of an MLflow store, read through MLflow's own client from any tracking URI."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError, unknown
from touchline.migration import source
from touchline.migration.files import Files
from touchline.migration.source import About, Ending, Findings
from touchline.tracking.launch import destination, without_credentials
from touchline.tracking.mlflow_store import probe_server
from touchline.tracking.sinks.mlflow import PARENT_TAG, RUN_ID_TAG
from touchline.tracking.sinks.mlflow_batch import DELIVERED_TAG
from touchline.tracking.sinks.mlflow_session import STATUS_TAG

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

FRESH_SECONDS = 60.0
"""A run that MLflow calls running, and that got a value so short a time ago, is left to go on."""
_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_RUNS_A_PAGE = 500
_MOST_NAMES, _SHOWN_NAMES = 100, 5
_SAID_ANEW = {"mlflow.parentRunId", "mlflow.runName", "mlflow.rootRunId", RUN_ID_TAG, PARENT_TAG, DELIVERED_TAG}
_SAID_ANEW |= {STATUS_TAG, "touchline.job", "touchline.group", "touchline.host", "touchline.rewinds"}
"""Tags that name, nest and follow a run in its store, which the import's own delivery says anew."""


class Store:
    """An MLflow store that runs are read from."""

    def __init__(self, uri: str) -> None:
        """A path or ``sqlite:///`` and ``file:`` with one become absolute."""
        scheme, separator, path = uri.partition(":///")
        if separator and scheme == "sqlite" and not path.startswith("/"):
            uri = f"sqlite:///{Path(path).absolute()}"
        self.uri = uri

    def is_of(self, settings: Settings) -> bool:
        """True when these settings deliver to this very store."""
        return destination("mlflow", settings) == without_credentials(self.uri)

    def runs(self, settings: Settings, experiments: Sequence[str]) -> list[MlflowRun]:
        """The runs of the named experiments (none: all), parents before their children.

        Those that this home delivered there itself are left out. Raises UsageError on an experiment that is not
        there, TouchlineError when the store does not answer.
        """
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.tracking import MlflowClient

        self._refuse_what_is_not_there()
        try:
            client = MlflowClient(self.uri)
            found = {experiment.name: experiment.experiment_id for experiment in _experiments(client)}
            for name in experiments:
                if name not in found:
                    raise unknown("experiment", name, found)
            chosen = {number: name for name, number in found.items() if not experiments or name in experiments}
            entities = [run for number in chosen for run in _runs(client, number)]
        except TouchlineError:
            raise
        except Exception as error:
            raise self._unreadable("its list of runs", error) from error
        runs: dict[str, MlflowRun] = {}
        for entity in sorted(entities, key=lambda run: int(run.info.start_time or 0)):
            if not settings.run_directory(entity.data.tags.get(RUN_ID_TAG) or "-").is_dir():
                experiment = chosen[entity.info.experiment_id]
                runs[entity.info.run_id] = MlflowRun(self, client, entity, experiment, runs)
        return list(runs.values())

    def _refuse_what_is_not_there(self) -> None:
        """MLflow itself would create the file, or try a server for minutes without a word."""
        scheme, separator, _ = self.uri.partition(":")
        place = Path(self.uri.removeprefix("sqlite:///").removeprefix("file://"))
        if (scheme in ("sqlite", "file") or not separator) and self.uri != "databricks" and not place.exists():
            raise UsageError(
                f"There is no MLflow store {without_credentials(self.uri)}. Name what MLflow wrote, as "
                "sqlite:///mlflow.db or the folder mlruns, or a server, as http://mlflow:5000."
            )
        if scheme in ("http", "https") and not (found := probe_server(self.uri)).usable:
            raise TouchlineError(f"MLflow gives no runs: {found.reason}")

    def left_behind(self) -> list[str]:
        """A sentence for each thing in the store that is no run, and so stays there."""
        from mlflow.entities import ViewType
        from mlflow.tracking import MlflowClient

        client, found = MlflowClient(self.uri, registry_uri=self.uri), []
        with contextlib.suppress(Exception):  # a store without a registry, or without the right to see it
            names = [model.name for model in client.search_registered_models(max_results=_MOST_NAMES)]
            if names:
                shown = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
                found.append(f"The registered models stay in {without_credentials(self.uri)}: {shown}.")
        with contextlib.suppress(Exception):
            ids = [experiment.experiment_id for experiment in _experiments(client)]
            if client.search_traces(ids, max_results=1, include_spans=False):
                found.append(f"The traces stay in {without_credentials(self.uri)}.")
            deleted = len(client.search_runs(ids, run_view_type=ViewType.DELETED_ONLY, max_results=_RUNS_A_PAGE))
            if deleted:
                shown = f"{deleted} or more" if deleted == _RUNS_A_PAGE else str(deleted)
                found.append(f"Runs that were deleted in {without_credentials(self.uri)} stay there: {shown}.")
        return found

    def _unreadable(self, what: str, error: Exception) -> TouchlineError:
        told = " ".join(str(error).split())[:300]
        return TouchlineError(
            f"MLflow at {without_credentials(self.uri)} did not give {what} ({told}). Check the URI, and for a "
            "server MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN."
        )


class MlflowRun:
    """One run of the store."""

    def __init__(
        self, store: Store, client: MlflowClient, entity: Run, experiment: str, others: dict[str, MlflowRun]
    ) -> None:
        """``others`` are the runs of the same import by MLflow's id, among which the parent is looked for."""
        self.findings = Findings()
        self._store = store
        self._client = client
        self._entity = entity
        self._id = str(entity.info.run_id)
        self._experiment = experiment
        self._others = others
        self._last_time = seconds(entity.info.end_time or entity.info.start_time or 0)

    def about(self) -> About:
        """What MLflow tells of the run."""
        info, tags = self._entity.info, self._entity.data.tags
        parent = self._others.get(tags.get("mlflow.parentRunId", ""))
        return About(
            track="mlflow",
            identity=self._id,
            name=info.run_name or self._id,
            project=self._experiment,
            started=seconds(info.start_time or 0),
            place=without_credentials(self._store.uri),
            job=tags.get("touchline.job") or About.job,
            group=tags.get("touchline.group", ""),
            parent=parent.about() if parent is not None and parent is not self else None,
            host=tags.get("touchline.host", ""),
        )

    def events(self, directory: Path | None) -> Iterator[source.Row]:
        """Yield the events, artifacts included. Raises TouchlineError when the store stops answering."""
        try:
            yield from self._events(Files(directory))
        except TouchlineError:
            raise
        except Exception as error:
            raise self._store._unreadable(f"the run {self._id}", error) from error

    def ending(self) -> Ending:
        """The status there; one that was never told is taken for killed."""
        status = str(self._entity.info.status)
        reason = "" if status in _STATUS else f"MLflow still says {status}, but nothing was added for a while."
        return Ending(_STATUS.get(status, "killed"), self._last_time, reason)

    def _events(self, files: Files) -> Iterator[source.Row]:
        findings, data, info = self.findings, self._entity.data, self._entity.info
        findings.counts.clear()
        findings.omissions.clear()
        started = seconds(info.start_time or 0)
        histories = {name: self._client.get_metric_history(self._id, name) for name in sorted(data.metrics)}
        self._refuse_a_living_one(histories)
        tags = {name: value for name, value in data.tags.items() if name not in _SAID_ANEW}
        if (parent := data.tags.get("mlflow.parentRunId")) and parent not in self._others:
            findings.omit(f"nesting in {parent}", "that run is not among the imported ones")
        for kind, counted, values in (("tags", source.TAGS, tags), ("params", source.PARAMS, data.params)):
            findings.counts[counted] += len(values)
            yield kind, None, started, dict(values)
        yield from self._inputs(started)
        findings.counts[source.VALUES] += sum(map(len, histories.values()))
        yield from self._metrics(histories)
        yield from self._artifacts("", files)

    def _refuse_a_living_one(self, histories: dict[str, list[Metric]]) -> None:
        moments = [metric.timestamp for history in histories.values() for metric in history]
        if moments:
            self._last_time = max(self._last_time, seconds(max(moments)))
        if self._entity.info.status in _STATUS:
            self._last_time = seconds(self._entity.info.end_time or 0) or self._last_time
        elif time.time() - self._last_time < FRESH_SECONDS:
            raise TouchlineError(
                f"The run {self._entity.info.run_name} ({self._id}) got values less than {FRESH_SECONDS:.0f} s ago "
                "and is still running. Import it once it has ended."
            )

    def _metrics(self, histories: dict[str, list[Metric]]) -> Iterator[source.Row]:
        """The values in the order of their time; those of one call, which have one time and one step, together."""
        points = sorted((metric.timestamp, metric.step, metric.key, metric.value) for metric in _flat(histories))
        together: dict[str, float] = {}
        place: tuple[int, int] | None = None
        for moment, step, name, value in points:
            if place != (moment, step) or name in together:
                if place is not None:
                    yield "metrics", place[1], seconds(place[0]), together
                together, place = {}, (moment, step)
            together[name] = value
        if place is not None:
            yield "metrics", place[1], seconds(place[0]), together

    def _inputs(self, started: float) -> Iterator[source.Row]:
        inputs, outputs = self._entity.inputs, getattr(self._entity, "outputs", None)
        for one in getattr(inputs, "dataset_inputs", None) or ():
            self.findings.counts[source.INPUTS] += 1
            context = next((tag.value for tag in one.tags if tag.key == "mlflow.data.context"), "training")
            dataset = one.dataset
            payload = {"name": dataset.name, "digest": dataset.digest, "source": dataset.source, "context": context}
            yield "dataset", None, started, payload
        for one in getattr(inputs, "model_inputs", None) or ():
            self.findings.counts[source.INPUTS] += 1
            yield "input", None, started, {"model": f"models:/{one.model_id}", "context": "model"}
        for one in getattr(outputs, "model_outputs", None) or ():
            where = (
                f"it stays in its store; get it with: mlflow artifacts download --artifact-uri models:/{one.model_id}"
            )
            self.findings.omit(f"logged model {one.model_id}", where)

    def _artifacts(self, folder: str, files: Files) -> Iterator[source.Row]:
        for item in self._client.list_artifacts(self._id, folder or None):
            if item.is_dir:
                yield from self._artifacts(item.path, files)
                continue
            self.findings.counts[source.FILES] += 1
            try:
                with tempfile.TemporaryDirectory(prefix="touchline-") as place:
                    path = Path(place) if files.only_counts else Path(self._download(item.path, place))
                    payload = files.artifact(path, item.path)
            except Exception as error:
                told = " ".join(str(error).split())[:200]
                self.findings.omit(f"artifact {item.path}", f"MLflow did not give it ({told})")
                continue
            yield "artifact", None, self._last_time, payload

    def _download(self, path: str, place: str) -> str:
        return str(self._client.download_artifacts(self._id, path, place))


def seconds(milliseconds: int) -> float:
    """MLflow's time in seconds, never a hair less: ``int(1000 * seconds)`` is the same milliseconds again."""
    value = milliseconds / 1000
    return math.nextafter(value, math.inf) if int(value * 1000) < milliseconds else value


def _flat(histories: dict[str, list[Metric]]) -> Iterator[Metric]:
    for history in histories.values():
        yield from history


def _experiments(client: MlflowClient) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        yield from page
        if not (token := page.token):
            return


def _runs(client: MlflowClient, experiment: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_RUNS_A_PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return
