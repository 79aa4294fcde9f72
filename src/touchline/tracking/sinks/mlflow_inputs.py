"""What a run read, as MLflow's own dataset entities."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

_LONGEST_NAME = 500
_LONGEST_DIGEST = 36


def dataset_input(payload: Mapping[str, Any]) -> DatasetInput:
    """Build MLflow's entity of a ``dataset`` event; MLflow keeps 36 characters of a digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind, source = _source(str(payload["source"]))
    dataset = Dataset(
        str(payload["name"])[:_LONGEST_NAME], str(payload["digest"])[:_LONGEST_DIGEST], kind, json.dumps(source)
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", str(payload.get("context") or "training"))])


def _source(text: str) -> tuple[str, dict[str, str]]:
    """MLflow's name of the kind of a source, and the document that it keeps for that kind."""
    scheme = urllib.parse.urlsplit(text).scheme
    if scheme in ("http", "https"):
        return "http", {"url": text}
    return (scheme if len(scheme) > 1 else "local"), {"uri": text}
