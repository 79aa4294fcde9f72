"""GPU and host, watched from threads of their own, so that the training thread never waits for a driver.

``training`` is what a loop uses; ``gpu`` samples, ``nvml*`` asks the driver, ``alerts`` and ``forecast`` warn,
``diagnosis`` says why a GPU is idle, ``cost`` what it costs, ``jax_memory`` prepares JAX, ``system`` pictures the
machine.
"""

from touchline.watch.alerts import Alert, AlertConfig, Alerts
from touchline.watch.cost import CostMeter
from touchline.watch.diagnosis import Diagnosis, diagnose
from touchline.watch.evidence import Evidence
from touchline.watch.gpu import GpuWatch
from touchline.watch.growth import ForecastConfig
from touchline.watch.prices import Prices
from touchline.watch.sections import Sections
from touchline.watch.snapshot import Snapshot
from touchline.watch.stall import TrainingConfig
from touchline.watch.system import system_snapshot
from touchline.watch.training import TrainingWatch, WatchConfig

__all__ = [
    "Alert",
    "AlertConfig",
    "Alerts",
    "CostMeter",
    "Diagnosis",
    "Evidence",
    "ForecastConfig",
    "GpuWatch",
    "Prices",
    "Sections",
    "Snapshot",
    "TrainingConfig",
    "TrainingWatch",
    "WatchConfig",
    "diagnose",
    "system_snapshot",
]
