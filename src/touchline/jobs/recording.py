"""When a training job records; apart from the recorder so that reading a config loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecordingConfig:
    """When a training job logs, saves and films."""

    log_every: int = 1_000
    """Policy transitions between metrics."""
    log_minimum_seconds: float = 0.5
    """Metrics are not logged more often than this: at 100k steps/s a thousand steps are 10 ms."""
    checkpoint_every: int = 200_000
    """Policy transitions between checkpoints."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    video_seconds: float = 300.0
    """Wall-clock seconds between videos."""
