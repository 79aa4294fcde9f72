"""Lightning: a logger that records into a run.

Trainer(logger=TouchlineLogger(run), …)
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from touchline.config import plain
from touchline.integrations.replay import Replay
from touchline.tracking.run import Run


class TouchlineLogger(Logger):
    """Records a ``Trainer``'s metrics and hyperparameters, from rank 0. The run is its opener's to end.

    ``log_checkpoints``: deliver what ``ModelCheckpoint`` holds for the best model, as an artifact, at the end.
    """

    def __init__(self, run: Run, *, log_checkpoints: bool = False) -> None:
        super().__init__()
        self._run, self._log_checkpoints = run, log_checkpoints
        self._replay = Replay(run)
        self._best: ModelCheckpoint | None = None

    @property
    def experiment(self) -> Run:
        """The run, for what a logger has no call for."""
        return self._run

    @property
    def name(self) -> str:
        """What the job is called."""
        return self._run.job

    @property
    def version(self) -> str:
        """Id of the run."""
        return self._run.id

    @property
    def save_dir(self) -> str:
        """The run's directory; Lightning puts its checkpoints below it."""
        return str(self._run.directory / "lightning")

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers at Lightning's step, which counts optimiser steps; those that the run has already stay."""
        if left := self._replay.left(metrics, step):
            self._run.log(left, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Record hyperparameters; a run that goes on has them."""
        if not self._run.resumed:
            self._run.log_params(plain(vars(params) if isinstance(params, Namespace) else dict(params)))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Remember whose best model is delivered at the end."""
        self._best = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Deliver the best checkpoint, where that is wanted."""
        if self._log_checkpoints and self._best is not None and Path(self._best.best_model_path).is_file():
            self._run.log_artifact(self._best.best_model_path, f"checkpoints/{Path(self._best.best_model_path).name}")
