"""Far sides a courier can deliver to: one file and one line in this table each."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from touchline.errors import unknown
from touchline.tracking.sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.tracking.sinks.base import Sink

SINKS = {
    "mlflow": "touchline.tracking.sinks.mlflow:MlflowSink",
    "wandb": "touchline.tracking.sinks.wandb:WandbSink",
    "tensorboard": "touchline.tracking.sinks.tensorboard:TensorboardSink",
}


def load_sink(name: str, settings: Settings) -> Sink:
    """Build the sink called ``name``, which is also the name of the package and of the extra that it needs.

    Raises UsageError when there is no such sink, SinkUnavailable when its package is not installed.
    """
    if name not in SINKS:
        raise unknown("sink", name, SINKS)
    if importlib.util.find_spec(name) is None:
        raise SinkUnavailable(
            f"The package {name} is not installed here; install it with: pip install 'touchline[{name}]'.",
            permanent=True,
        )
    module, _, attribute = SINKS[name].partition(":")
    sink: Sink = getattr(importlib.import_module(module), attribute)(settings)
    return sink
