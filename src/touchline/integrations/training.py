"""A training that goes on: its run, checkpoints, watch and stop signal, opened and ended together."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from touchline.checkpoint import CheckpointStore, StopSignal
from touchline.config import Settings
from touchline.errors import UsageError
from touchline.filesystem import make_private
from touchline.tracking.events import slug
from touchline.tracking.run import INTERRUPTED_CODE, PREEMPTED_CODE, Run
from touchline.tracking.start import start_run
from touchline.watch import TrainingWatch, WatchConfig

WATCHED = WatchConfig()
"""What is watched where nothing else is said."""


class Training:
    """What a loop needs so that the same script, given again, goes on where it was killed::

        with Training("hopper", every=50_000) as training:
            state = training.restore_or(state)
            for step in range(training.start, 1_000_000):
                ...
                training.run.log({"loss": loss}, step + 1)
                training.store.maybe_save(step + 1, state)

    Checkpoints carry the run's history, so that both tracks show one run whatever was killed, here or on another
    machine. SIGTERM, Ctrl-C and a cloud's notice set ``stop``: the loop saves, the run ends as preempted (Ctrl-C:
    killed), and the process with 143 (130), which a scheduler takes as "again".
    """

    run: Run
    """Open between ``with`` and its end."""
    watch: TrainingWatch | None
    """Open as long as the run; None where nothing is watched."""

    def __init__(
        self,
        job: str,
        *,
        config: Any = None,
        every: int = 200_000,
        minimum_seconds: float = 10.0,
        keep_last: int = 2,
        checkpoints: Path | str | None = None,
        allow_changes: bool = False,
        watch: WatchConfig | None = WATCHED,
        settings: Settings | None = None,
    ) -> None:
        """Nothing is touched before ``with``.

        Args:
            job: what the training is called; its checkpoints are found again by it.
            config: a dataclass or a mapping, the run's parameters; a checkpoint of another one is refused.
            every: steps between two checkpoints, counted as crossed multiples.
            minimum_seconds: checkpoints are not more frequent than this.
            keep_last: newest checkpoints that stay, at least 1.
            checkpoints: a directory of this training alone, or an address such as ``gs://bucket/hopper``; None: named
                after the job below ``settings.checkpoints`` or in the home.
            allow_changes: go on from a checkpoint of another configuration or version of the code all the same.
            watch: what the watch looks at, and when; None watches nothing.
            settings: where state lives and whom it tells; None loads them.
        """
        self.settings = settings or Settings.load()
        self.stop = StopSignal(notices=self.settings.preemption)
        beside = self.settings.home / "checkpoints"
        self.store = CheckpointStore(
            checkpoints or f"{self.settings.checkpoints or make_private(beside)}/{slug(job)}",
            every=every,
            minimum_seconds=minimum_seconds,
            keep_last=keep_last,
            config=config,
            allow_changes=allow_changes,
            stop=self.stop,
        )
        self.watch = None
        self._job, self._config, self._watched = job, config, watch
        self._open = ExitStack()

    @property
    def start(self) -> int:
        """Step of the checkpoint that was restored; 0 at the beginning."""
        return self.store.step

    def restore_or(self, state: Any) -> Any:
        """Return the state to go on from: the newest checkpoint's, or ``state`` where there is none.

        Raises what ``CheckpointStore.restore_or`` raises.
        """
        return self.store.restore_or(state)

    def __enter__(self) -> Training:
        """Open the run: a new one, or the newest checkpoint's. Raises what ``start_run`` and the store raise."""
        with ExitStack() as opening:
            opening.enter_context(self.stop)
            with self.store.newest() as newest:
                resume = newest.directory if newest else None
                run = start_run(self._job, config=self._config, resume=resume, settings=self.settings)
            self.run = self.store.run = opening.enter_context(run)
            opening.callback(self.store.wait)  # the last save is durable before the run ends
            if self._watched is not None:
                step = newest.step if newest else 0
                self.watch = opening.enter_context(TrainingWatch(run, self._watched, start=step))
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.stop.requested:
            error = SystemExit(PREEMPTED_CODE if self.stop.reason == "preempted" else INTERRUPTED_CODE)
            self._open.__exit__(SystemExit, error, None)
            raise error
        self._open.__exit__(kind, error, trace)


def opened(training: Training | Run) -> tuple[Run, Training | None]:
    """Return the run to record to, and the training around it where there is one.

    Raises UsageError for a training that is not open, and for anything else.
    """
    if isinstance(training, Run):
        return training, None
    if not isinstance(training, Training):
        raise UsageError(
            f"{training!r} is neither a Training nor a run. Open one: with Training('name') as training, or "
            "with touchline.start_run('name') as run."
        )
    if not hasattr(training, "run"):
        raise UsageError("This Training is not open, so it has no run. Use it in: with Training('name') as training.")
    return training.run, training
