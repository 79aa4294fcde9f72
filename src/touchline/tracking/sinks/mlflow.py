"""Delivery to MLflow: any tracking URI, metrics in batches with the journal's own timestamps.

The run there says itself, in the tag ``touchline.delivered``, up to which sequence number it has everything; it is
written in the same call as the entries.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.tracking.mlflow_store import check_store, connect, ensure_experiment, unavailable
from touchline.tracking.sinks.base import RunInfo, RunRefused
from touchline.tracking.sinks.mlflow_batch import DELIVERED_TAG
from touchline.tracking.sinks.mlflow_session import STATUS_TAG, MlflowSession, milliseconds

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

RUN_ID_TAG = "touchline.run_id"
PARENT_TAG = "touchline.parent"
_MLFLOW_PARENT_TAG = "mlflow.parentRunId"


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
        self._client = client = self._client or connect(self._settings)
        try:
            experiment = ensure_experiment(client, self._settings, run.project)
            found = self._find(experiment, run.id)
            entity = found or self._create(experiment, run)
            waits = bool(run.parent) and _MLFLOW_PARENT_TAG not in entity.data.tags
            if waits and found is not None:
                waits = not self._nest(experiment, run, str(entity.info.run_id))
        except RunRefused:
            raise
        except Exception as error:
            self._client = None
            raise unavailable(self._settings, error) from error
        told = int(entity.data.tags.get(DELIVERED_TAG, 0))
        resume_from = delivered if found is not None else 0
        # Between delivered and sent is what this machine may send again, alike; beyond is what another one sent.
        if found is not None and DELIVERED_TAG in entity.data.tags and not delivered <= told <= sent:
            resume_from = told

        def before_close(remote_id: str) -> None:
            if waits:
                self._nest(experiment, run, remote_id)

        return MlflowSession(
            client,
            self._settings,
            run,
            entity,
            resume_from=resume_from,
            told=told,
            tried=sent,
            before_close=before_close,
        )

    def _create(self, experiment: str, run: RunInfo) -> Run:
        """Create the run, nested in its parent where that is there; its own children that were earlier are nested."""
        assert self._client is not None
        tags = {RUN_ID_TAG: run.id, "touchline.job": run.job, STATUS_TAG: "running", DELIVERED_TAG: "0"}
        if run.parent:
            tags[PARENT_TAG] = run.parent
            parent = self._search(experiment, RUN_ID_TAG, run.parent)
            if parent:
                tags[_MLFLOW_PARENT_TAG] = str(parent[0].info.run_id)
        entity = self._client.create_run(
            experiment, start_time=milliseconds(run.started), tags=tags, run_name=run.name
        )
        for child in self._search(experiment, PARENT_TAG, run.id):
            self._client.set_tag(child.info.run_id, _MLFLOW_PARENT_TAG, entity.info.run_id)
        return entity

    def _nest(self, experiment: str, run: RunInfo, remote_id: str) -> bool:
        """Nest a run in its parent; False while that is not there."""
        assert self._client is not None
        parent = self._search(experiment, RUN_ID_TAG, run.parent)
        if parent:
            self._client.set_tag(remote_id, _MLFLOW_PARENT_TAG, str(parent[0].info.run_id))
        return bool(parent)

    def _find(self, experiment: str, run_id: str) -> Run | None:
        found = self._search(experiment, RUN_ID_TAG, run_id)
        living = [run for run in found if run.info.lifecycle_stage != "deleted"]
        if found and not living:
            raise RunRefused(
                f"The run was deleted in MLflow. Restore it with: mlflow runs restore --run-id {found[0].info.run_id}"
            )
        return living[0] if living else None

    def _search(self, experiment: str, tag: str, value: str) -> list[Run]:
        from mlflow.entities import ViewType

        assert self._client is not None
        if not re.fullmatch(r"[A-Za-z0-9._-]+", value):  # no id of ours, and it must not change the query
            return []
        query = f"tags.`{tag}` = '{value}'"
        return list(self._client.search_runs([experiment], query, run_view_type=ViewType.ALL, max_results=1_000))
