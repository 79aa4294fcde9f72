"""What MLflow refuses for good is set aside; what passes is sent again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from touchline.config import Settings
from touchline.tracking.sinks.base import SinkUnavailable
from touchline.tracking.sinks.mlflow_batch import Batch, BatchSender

NO_CONNECTION = (
    "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00 "
    "(Background on this error at: https://sqlalche.me/e/21/3o7r)"
)
"""MLflow 3.17's answer, with the code BAD_REQUEST, to more requests at once than it has connections for."""


class Client:
    """Refuses, as MLflow does, every call that holds a certain metric."""

    def __init__(self, poison: str, text: str) -> None:
        self.poison = poison
        self.text = text
        self.calls = 0
        self.had: list[str] = []

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        self.calls += 1
        if any(metric.key == self.poison for metric in metrics):
            raise MlflowException(self.text, error_code=BAD_REQUEST)
        self.had += [metric.key for metric in metrics]


def send(client: Client, tmp_path: Path) -> list[str]:
    batch = Batch()
    batch.metrics = [(seq, Metric(name, 0.5, 1_800_000_000_000, seq)) for seq, name in enumerate("abcd", start=1)]
    sender = BatchSender(client, Settings(home=tmp_path), "run")  # type: ignore[arg-type]
    return [aside.reason for aside in sender.send(batch, 4)]


def test_a_server_without_a_free_connection_gets_the_whole_again_later(tmp_path: Path) -> None:
    client = Client("c", NO_CONNECTION)
    with pytest.raises(SinkUnavailable, match="too few connections to its database"):
        send(client, tmp_path)
    assert client.calls == 1


def test_a_value_that_is_refused_for_good_keeps_none_of_the_others_back(tmp_path: Path) -> None:
    client = Client("c", "(psycopg2.errors.NumericValueOutOfRange) bigint out of range")
    told = send(client, tmp_path)
    assert len(told) == 1 and told[0].startswith("c: ")
    assert client.had == ["a", "b", "d"]
