"""Touchline: the MLOps loop beside a reinforcement-learning training loop.

The public names are loaded on first use, so that ``import touchline`` costs milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchline.cadence import Cadence, WallClockCadence
    from touchline.catalog import load_model
    from touchline.config import Settings
    from touchline.errors import TouchlineError, UsageError
    from touchline.tracking.grid import tile
    from touchline.tracking.run import Run
    from touchline.tracking.start import start_run
    from touchline.tracking.sync import sync
    from touchline.tracking.video import Video, encode_video, get_wandb_video

__version__ = "0.1.0"
__all__ = [
    "Cadence",
    "Run",
    "Settings",
    "TouchlineError",
    "UsageError",
    "Video",
    "WallClockCadence",
    "encode_video",
    "get_wandb_video",
    "load_model",
    "start_run",
    "sync",
    "tile",
]

_HOME_OF = {
    "Cadence": "touchline.cadence",
    "Run": "touchline.tracking.run",
    "Settings": "touchline.config",
    "TouchlineError": "touchline.errors",
    "UsageError": "touchline.errors",
    "Video": "touchline.tracking.video",
    "WallClockCadence": "touchline.cadence",
    "encode_video": "touchline.tracking.video",
    "get_wandb_video": "touchline.tracking.video",
    "load_model": "touchline.catalog",
    "start_run": "touchline.tracking.start",
    "sync": "touchline.tracking.sync",
    "tile": "touchline.tracking.grid",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
