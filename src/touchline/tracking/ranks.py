"""Distributed training: one process records, the others keep silent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from touchline.config import Settings
from touchline.tracking.delivery import Delivery
from touchline.tracking.run import Run, Status
from touchline.tracking.summary import BestValues

RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "JAX_PROCESS_ID")


def rank_of(environment: Mapping[str, str]) -> int | None:
    """Rank of this process as its launcher (torchrun, Slurm, MPI, JAX) tells it; None when none does."""
    for name in RANK_VARIABLES:
        value = environment.get(name, "")
        if value.isdigit():
            return int(value)
    return None


class SilentRun(Run):
    """The run of a rank other than 0: the same methods, and nothing is kept or sent."""

    def __init__(self, job: str, settings: Settings, rank: int) -> None:
        directory = settings.home / "ranks" / str(rank)
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(f"rank{rank}", job, directory, settings, SilentWriter())  # type: ignore[arg-type]

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

    def wait_delivered(self, sink: str, timeout: float = 60.0) -> bool:
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

    def _keep(self, source: Path, kind: str, name: str) -> str:
        return ""

    def _keep_image(self, image: Any, stem: str) -> str:
        return ""

    def _start_couriers(self) -> None:
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
