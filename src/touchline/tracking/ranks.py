"""Distributed training: one process records, the others keep silent."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from touchline.config import Settings
from touchline.filesystem import make_private
from touchline.tracking.delivery import Delivery
from touchline.tracking.events import slug
from touchline.tracking.run import Run, Status
from touchline.tracking.summary import BestValues

logger = logging.getLogger("touchline")

LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
)
"""Where a launcher (torchrun, Slurm, MPI, JAX) tells a process its rank, and of how many."""
_LAUNCHES = ("TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE", "SLURM_JOB_ID")


def rank_of(environment: Mapping[str, str]) -> int | None:
    """Rank of this process in a distributed training; None when it is none.

    A rank counts only with a number of processes above 1 and above the rank beside it: an interactive Slurm shell
    has a rank too, and RANK alone may be anybody's variable.
    """
    for name, size_name in LAUNCHERS:
        rank, size = environment.get(name, ""), environment.get(size_name, "")
        if rank.isdigit() and size.isdigit() and int(rank) < int(size) and int(size) > 1:
            return int(rank)
    return None


def launch_of(environment: Mapping[str, str]) -> str:
    """A name that all processes of one launch share and no other launch has, empty where there is none."""
    for name in _LAUNCHES:
        if (value := environment.get(name, "")) not in ("", "none"):
            step = environment.get("SLURM_STEP_ID", "") if name.startswith("SLURM") else ""
            return slug("-".join(filter(None, ("launch", value, step))))
    return ""


def tell_silence(rank: int) -> None:
    """Say why a process records nothing: its launcher may not have meant one training."""
    logger.warning(
        "This process is rank %d of a distributed training, so it records nothing; rank 0 does. "
        "To record every rank as a run of its own: TOUCHLINE_ALL_RANKS=true",
        rank,
    )


class SilentRun(Run):
    """The run of a rank other than 0: the same methods, and nothing is kept or sent; alerts go to the log alone."""

    def __init__(self, job: str, settings: Settings, rank: int) -> None:
        directory = settings.home / "ranks" / str(rank)
        with contextlib.suppress(OSError):  # only the caller's own files would go there
            make_private(directory)
        super().__init__(f"rank{rank}", job, directory, settings, SilentWriter())  # type: ignore[arg-type]
        self._alert_is_called = f"Alert of rank {rank}"

    def save_journal(self, directory: Path | str, step: int | None = None) -> Path:
        """Write nothing; return where rank 0 writes."""
        return Path(directory) / "journal.db"

    def finish(self, status: Status = "finished", timeout: float = 30.0, reason: str = "") -> Delivery:
        """End nothing."""
        self._ended = True
        return self.delivery()

    def delivery(self) -> Delivery:
        """No sink has anything of this run."""
        return Delivery(self.id, ())

    def wait_delivered(
        self, sink: str, timeout: float = 60.0, slow: float = 0.0, give_up: Callable[[], bool] = lambda: False
    ) -> bool:
        """Nothing is on its way."""
        return True

    def log_video(
        self,
        video: Any,
        name: str = "video",
        step: int | None = None,
        caption: str | None = None,
        fps: float = 25.0,
    ) -> None:
        """Encode nothing."""

    def _keep(self, source: Path, kind: str, name: str, unchanging: bool = False) -> str:
        return ""

    def _keep_image(self, image: Any, stem: str) -> str:
        return ""

    def _start_couriers(self, sinks: Iterable[str]) -> None:
        """No courier is needed."""

    def _end_with_process(self) -> None:
        """Nothing is to end."""


class SilentWriter:
    """Takes events and keeps none."""

    error = None
    last_seq = dropped = 0

    def __init__(self) -> None:
        self.best = BestValues()

    def __getattr__(self, name: str) -> Any:
        return self._ignore

    def _ignore(self, *arguments: Any, **named: Any) -> None:
        return None

    def flush(self, timeout: float) -> bool:
        """Nothing waits."""
        return True
