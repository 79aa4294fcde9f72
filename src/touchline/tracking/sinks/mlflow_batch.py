"""Metrics, params and tags on their way into MLflow's ``log_batch``: within its limits, poison found by halving."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.tracking.mlflow_store import unavailable
from touchline.tracking.sinks.base import SetAside, SinkUnavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DELIVERED_TAG = "touchline.delivered"
LONGEST_PARAM = 6_000
LONGEST_TAG = 5_000
_METRICS_A_CALL = 1_000
_ENTRIES_A_CALL = 99
"""MLflow takes 100 params and 100 tags a call; one place is for ``DELIVERED_TAG``."""
_BYTES_A_CALL = 900_000
_BYTES_A_METRIC = 120
_OURS = ("model", "input", "dataset")
"""Kinds that may fail by what is in them (a model's script, an unknown id) with MLflow's code for its own faults."""
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS")
_PASSING = ("must be in the 'active' state", "QueuePool limit", "InterfaceError")
"""In texts of such refusals that concern the run, or the server's connections to its database, and pass."""

Entry = tuple[int, Any]
"""A sequence number, and the Metric, Param or RunTag that came from it."""


class Batch:
    """What some events put into MLflow; of a tag only the newest value, of a parameter only the first."""

    def __init__(self) -> None:
        self.metrics: list[Entry] = []
        self.params: dict[str, tuple[int, str]] = {}
        self.tags: dict[str, tuple[int, str]] = {}

    def add_tag(self, seq: int, name: str, value: Any) -> None:
        """Set a tag; a text that is too long is cut."""
        self.tags[name] = (seq, str(value)[:LONGEST_TAG])

    def add_param(self, seq: int, name: str, value: str) -> list[SetAside]:
        """Set a parameter; another value than the one it has is set aside, as MLflow would do."""
        known = self.params.setdefault(name, (seq, value))
        if known[1] == value:
            return []
        return [SetAside(seq, f"{name}: MLflow keeps a parameter's first value, which is {known[1][:100]!r}")]

    def is_full(self) -> bool:
        """True when it fills a call."""
        return (
            len(self.metrics) >= _METRICS_A_CALL
            or len(self.params) >= _ENTRIES_A_CALL
            or len(self.tags) >= _ENTRIES_A_CALL
        )

    def calls(self) -> list[list[Entry]]:
        """The entries, cut into calls that keep MLflow's limits; one empty call where there is nothing."""
        from mlflow.entities import Param, RunTag

        params = [(seq, Param(name, value)) for name, (seq, value) in self.params.items()]
        tags = [(seq, RunTag(name, value)) for name, (seq, value) in self.tags.items()]
        calls: list[list[Entry]] = [[]]
        for entries, limit in ((self.metrics, _METRICS_A_CALL), (params, _ENTRIES_A_CALL), (tags, _ENTRIES_A_CALL)):
            count, size = 0, sum(_size(entity) for _, entity in calls[-1])
            for entry in entries:
                size += _size(entry[1])
                if count == limit or size > _BYTES_A_CALL:
                    calls.append([])
                    count, size = 0, _size(entry[1])
                calls[-1].append(entry)
                count += 1
        return calls


class BatchSender:
    """Sends batches to one MLflow run, each with the newest sequence number that the run then has."""

    def __init__(self, client: MlflowClient, settings: Settings, run_id: str) -> None:
        self._client = client
        self._settings = settings
        self._run_id = run_id
        self.bad_names: dict[str, str] = {}
        """Names of metrics that MLflow refuses, and its reason: asked once, not for every step."""
        self._good_names: set[str] = set()

    def send(self, batch: Batch, delivered: int) -> list[SetAside]:
        """Send a batch, which completes the events up to ``delivered``; returns what MLflow refuses for good.

        Raises SinkUnavailable when trying again may help.
        """
        from mlflow.entities import RunTag

        *parts, last = batch.calls()
        refused = [aside for part in parts for aside in self._deliver(part)]
        mark = RunTag(DELIVERED_TAG, str(delivered))
        try:
            self._log([*last, (delivered, mark)])
        except Exception as error:
            self.refusal(delivered, "batch", error)
            refused += self._recover(last)
            self._deliver([(delivered, mark)])
        return refused

    def refusal(self, seq: int, what: str, error: Exception, *, local: bool = False) -> SetAside:
        """Return what is refused for good; raises SinkUnavailable when trying again may help.

        ``local``: files and texts of ours were handled too, so they may be what is wrong.
        """
        text = " ".join(str(error).split())[:300]
        code = getattr(error, "error_code", "")
        wrong = code in _REFUSALS and not any(words in text for words in _PASSING)
        if local and not code and (isinstance(error, FileNotFoundError) or not isinstance(error, OSError)):
            wrong = not isinstance(error, SinkUnavailable)
        if not wrong and local and code and what in _OURS and self._answers():
            wrong = True
        if wrong:
            # Where MLflow's text begins with the place in its own request, what it says of the value follows.
            told = text.partition(" supplied: ")[2] or text
            return SetAside(seq, f"{what}: {told if code else f'{type(error).__name__}: {told}'}")
        raise error if isinstance(error, SinkUnavailable) else unavailable(self._settings, error) from error

    def _answers(self) -> bool:
        try:
            self._client.get_run(self._run_id)
        except Exception:
            return False
        return True

    def _deliver(self, entries: Sequence[Entry]) -> list[SetAside]:
        """Send entries; where they are refused together, only the refused ones stay behind."""
        if not entries:
            return []
        try:
            self._log(entries)
            return []
        except Exception as error:
            seq, entity = entries[0]
            aside = self.refusal(seq, entity.key, error)
        if len(entries) > 1:
            return self._recover(entries)
        if "Names may" in aside.reason and hasattr(entity, "step"):
            self.bad_names[entity.key] = aside.reason
        return [aside]

    def _recover(self, entries: Sequence[Entry]) -> list[SetAside]:
        """Send what was refused together, of each new name one entry first: most refusals are of names."""
        refused: list[SetAside] = []
        rest: list[Entry] = []
        for seq, entity in entries:
            if not hasattr(entity, "step") or entity.key in self._good_names:
                rest.append((seq, entity))
            elif entity.key in self.bad_names:
                refused.append(SetAside(seq, self.bad_names[entity.key]))
            else:
                refused += self._deliver([(seq, entity)])
                if entity.key not in self.bad_names:
                    self._good_names.add(entity.key)
        return refused + self._halve(rest)

    def _halve(self, entries: Sequence[Entry]) -> list[SetAside]:
        """Send entries whose names are good, cut into halves until only the refused ones stay behind."""
        if len(entries) < 2:
            return self._deliver(entries)
        try:
            self._log(entries)
            return []
        except Exception as error:
            self.refusal(entries[0][0], "batch", error)
        middle = len(entries) // 2
        return self._halve(entries[:middle]) + self._halve(entries[middle:])

    def _log(self, entries: Sequence[Entry]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        kinds: dict[type, list[Any]] = {Metric: [], Param: [], RunTag: []}
        for _, entity in entries:
            kinds[type(entity)].append(entity)
        self._client.log_batch(self._run_id, metrics=kinds[Metric], params=kinds[Param], tags=kinds[RunTag])


def _size(entity: Any) -> int:
    """Bytes of an entry in a request, never too few."""
    if hasattr(entity, "step"):
        return _BYTES_A_METRIC + 6 * len(entity.key)
    return 40 + len(json.dumps(entity.key)) + len(json.dumps(entity.value))
