"""GPU and host, watched from a thread of their own, so that the training thread never waits for a driver.

``gpu`` is the watch, ``nvml`` what it asks of the driver.
"""

from touchline.watch.gpu import GpuWatch

__all__ = ["GpuWatch"]
