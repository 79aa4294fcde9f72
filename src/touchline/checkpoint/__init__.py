"""Checkpoints that load whole or not at all, and the signals that ask for one.

``store`` saves and finds them, ``manifest`` proves them, ``preemption`` turns SIGTERM and Ctrl-C into a flag.
``notices`` asks the metadata service of the machine's cloud whether it is taken back, ``clouds`` knows how.
"""

from touchline.checkpoint.manifest import Damaged
from touchline.checkpoint.notices import PreemptionNotices
from touchline.checkpoint.preemption import StopSignal
from touchline.checkpoint.store import Checkpoint, CheckpointStore, Skipped

__all__ = ["Checkpoint", "CheckpointStore", "Damaged", "PreemptionNotices", "Skipped", "StopSignal"]
