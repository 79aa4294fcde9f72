"""Far sides a courier can deliver to: one file and one line in this table each."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from touchline.errors import unknown
from touchline.tracking.sinks.base import SinkUnavailable

if TYPE_CHECKING:
    from touchline.config import Settings
    from touchline.tracking.sinks.base import Sink

ENTRY_POINTS = "touchline.sinks"
"""Group of entry points under which an installed package offers a sink: ``name = "module:Class"``."""
SINKS = {
    "mlflow": "touchline.tracking.sinks.mlflow:MlflowSink",
    "wandb": "touchline.tracking.sinks.wandb:WandbSink",
    "tensorboard": "touchline.tracking.sinks.tensorboard:TensorboardSink",
    "webhook": "touchline.tracking.sinks.webhook:WebhookSink",
    "console": "touchline.tracking.sinks.console:ConsoleSink",
}
CONSOLE = "console"
"""The sink that the training process feeds itself: it has no courier, no cursor and nothing to catch up on."""
WITHOUT_PACKAGE = ("webhook", CONSOLE)
"""Sinks of ours that need no package; the others need the one, and the extra, of their name."""


def find_sinks() -> dict[str, str]:
    """Every sink, ours and those of installed packages: name → ``module:Class``."""
    others = {point.name: point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    return {**others, **SINKS}


def far_sides(names: Iterable[str]) -> tuple[str, ...]:
    """The names of the sinks that couriers deliver to."""
    return tuple(name for name in names if name != CONSOLE)


def known_sinks(names: Iterable[str]) -> None:
    """Raise UsageError when one of the names is no sink."""
    for name in names:
        if name not in SINKS and name not in (found := find_sinks()):
            raise unknown("sink", name, found)


def load_sink(name: str, settings: Settings) -> Sink:
    """Build the sink called ``name``; one of ours has the name of the package and of the extra that it needs.

    Raises UsageError when there is no such sink, SinkUnavailable when its package is not installed.
    """
    known_sinks([name])
    if name in SINKS and name not in WITHOUT_PACKAGE and importlib.util.find_spec(name) is None:
        raise SinkUnavailable(
            f"The package {name} is not installed here; install it with: pip install 'touchline[{name}]'.",
            permanent=True,
        )
    sink: Sink = _class(name)(settings)
    return sink


def destination_of(name: str, settings: Settings) -> str:
    """Name the far side of an installed package's sink by its static method ``destination(settings)``, if it has one.

    One without it has one far side, which is called like the sink. A package that cannot be imported here holds up
    no training: its courier says why.
    """
    try:
        tell = getattr(_class(name), "destination", None)
        return name if tell is None else str(tell(settings))
    except Exception:
        return name


def _class(name: str) -> Any:
    module, _, attribute = find_sinks()[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
