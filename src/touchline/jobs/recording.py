"""When a training job records; apart from the recorder so that reading a config loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from touchline.errors import at_least


@dataclass(frozen=True)
class RecordingConfig:
    """When a training job logs, saves and films."""

    log_every: int = 1_000
    """Policy transitions between metrics."""
    log_minimum_seconds: float = 1.0
    """Metrics are not logged more often than this: at 100k steps/s a thousand steps are 10 ms."""
    checkpoint_every: int = 200_000
    """Policy transitions between checkpoints."""
    checkpoint_minimum_seconds: float = 60.0
    """Checkpoints are not saved more often than this; the last state is saved in any case."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    keep_every: int = 0
    """Beside them one checkpoint of each so many policy transitions; 0: none."""
    checkpoint_artifacts: Literal["last", "all", "none"] = "last"
    """Which checkpoints become artifacts of the run: the one at the end, each (a full replay buffer is a gigabyte),
    or none."""
    video_seconds: float = 300.0
    """Wall-clock seconds between videos."""
    gpu_detail_every: int = 5_000
    """Policy transitions between temperature, power, clocks, throttling and cost of the GPU."""
    budget_usd: float = 0.0
    """What the job may cost on its GPUs: told at 80 %, stopped at 100 %; 0: whatever it takes."""
    spot: bool = False
    """Whether the GPUs are paid at spot prices."""
    prices: tuple[str, ...] = ()
    """USD per hour that replace the list prices, such as ``L4=0.71/0.28`` (on demand/spot)."""

    def __post_init__(self) -> None:
        at_least(1, self, "log_every", "checkpoint_every", "keep_checkpoints", "gpu_detail_every")
        at_least(0.0, self, "log_minimum_seconds", "checkpoint_minimum_seconds", "budget_usd", "keep_every")
        at_least(0.1, self, "video_seconds")
