"""Checkpoints that load whole or not at all, and the signals that ask for one.

``store`` saves and restores them, ``finding`` picks the one to go on from, ``tree`` takes a training's state apart,
``storage`` is where they lie, ``manifest`` proves them, ``retention`` says which stay and ``origin`` what made them.
``preemption`` turns SIGTERM and Ctrl-C into a flag; ``notices`` asks the metadata service of the machine's cloud
whether it is taken back, ``clouds`` knows how.
"""

from touchline.checkpoint.finding import Checkpoint
from touchline.checkpoint.manifest import Damaged
from touchline.checkpoint.names import Skipped
from touchline.checkpoint.notices import PreemptionNotices
from touchline.checkpoint.origin import Refused
from touchline.checkpoint.preemption import StopSignal
from touchline.checkpoint.saving import NotSaved
from touchline.checkpoint.store import CheckpointStore
from touchline.checkpoint.tree import Mismatch

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "Damaged",
    "Mismatch",
    "NotSaved",
    "PreemptionNotices",
    "Refused",
    "Skipped",
    "StopSignal",
]
