"""GPU and host, watched from threads of their own, so that the training thread never waits for a driver.

``gpu`` is the watch, ``nvml*`` what it asks of the driver, ``system`` a whole picture of the machine.
"""

from touchline.watch.gpu import GpuWatch
from touchline.watch.snapshot import Snapshot
from touchline.watch.system import system_snapshot

__all__ = ["GpuWatch", "Snapshot", "system_snapshot"]
