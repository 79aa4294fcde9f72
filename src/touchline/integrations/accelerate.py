"""Accelerate: a tracker that records into a run.

accelerator = Accelerator(log_with=TouchlineTracker(run))
accelerator.init_trackers("clone", config={"rate": 1e-3})
accelerator.log({"loss": loss}, step=step)
accelerator.end_training()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate.tracking import GeneralTracker

from touchline.integrations.replay import Replay
from touchline.tracking.run import Run


class TouchlineTracker(GeneralTracker):
    """Records what an ``Accelerator`` logs, from its main process. The run is its opener's to end.

    In the other processes ``start_run`` gives a run that records nothing, so that a script opens it everywhere.
    """

    name = "touchline"
    requires_logging_directory = False

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._replay = Replay(run)

    @property
    def tracker(self) -> Run:
        """The run, as ``accelerator.get_tracker("touchline", unwrap=True)`` returns it."""
        return self._run

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Record the configuration of ``init_trackers``; a run that goes on has it."""
        if not self._run.resumed:
            self._run.log_params(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Record numbers at ``step``, where those that the run has already stay; text becomes a result of the run."""
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        if texts:
            self._run.set_summary(texts)
        numbers = {name: value for name, value in values.items() if name not in texts}
        flat = {
            (f"{name}/{part}" if part else name): one
            for name, value in numbers.items()
            for part, one in (value.items() if isinstance(value, Mapping) else [("", value)])
        }
        if left := self._replay.left(flat, step):
            self._run.log(left, step)

    def log_images(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Record images, each (H, W), (H, W, 3) or (H, W, 4); of several under one name each by its place."""
        for name, images in values.items():
            for place, image in enumerate(images):
                self._run.log_image(image, name if len(images) == 1 else f"{name}/{place}", step)
