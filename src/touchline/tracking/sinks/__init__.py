"""Far sides a courier can deliver to: one file and one line in this table each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from touchline.errors import unknown

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.tracking.sinks.base import Sink

SINKS = {
    "mlflow": "touchline.tracking.sinks.mlflow:MlflowSink",
    "wandb": "touchline.tracking.sinks.wandb:WandbSink",
    "tensorboard": "touchline.tracking.sinks.tensorboard:TensorboardSink",
}


def load_sink(name: str, settings: Settings) -> Sink:
    """Build the sink called ``name``; raises UsageError when there is none."""
    if name not in SINKS:
        raise unknown("sink", name, SINKS)
    module, _, attribute = SINKS[name].partition(":")
    sink: Sink = getattr(importlib.import_module(module), attribute)(settings)
    return sink
