"""Checkpoints that load whole or not at all, and the signals that ask for one.

``store`` saves and finds them, ``manifest`` proves them, ``preemption`` turns SIGTERM and Ctrl-C into a flag.
"""

from touchline.checkpoint.manifest import Damaged
from touchline.checkpoint.preemption import StopSignal
from touchline.checkpoint.store import Checkpoint, CheckpointStore, Skipped

__all__ = ["Checkpoint", "CheckpointStore", "Damaged", "Skipped", "StopSignal"]
