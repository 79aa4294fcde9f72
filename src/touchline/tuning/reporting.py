"""What a trial does while it trains: reports at steps that compare, leaves when it is pruned, gives signs of life."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import optuna

from touchline.tracking.reports import Pruned
from touchline.tuning.storage import HEARTBEAT_SECONDS, is_outage

if TYPE_CHECKING:
    from touchline.tracking.run import Run
    from touchline.tuning.study import Study

logger = logging.getLogger("touchline")


class TrialPruned(Pruned, optuna.TrialPruned):
    """The study gives up this trial; let it pass, through Optuna's ``optimize`` too."""


class TrialReporter:
    """Takes what a run reports to one trial of a study; a ``touchline.tracking.reports.Reporter``.

    Pruners compare values of exactly one step, and loops over many environments never hit it: so a value counts for
    the highest multiple of ``every`` that its step has crossed, once.
    """

    def __init__(self, trial: optuna.Trial, every: int = 1) -> None:
        self._trial, self.every = trial, every
        frozen = trial.storage.get_trial(trial._trial_id)
        self._told = dict(frozen.intermediate_values)
        self._waiting: dict[int, float] = {}
        self._newest = 0
        self.last: float | None = None
        """What was reported last by this process, or by an earlier one; None when nothing was."""
        if self._told:
            self.last = self._told[max(self._told)]

    def due(self, step: int) -> bool:
        """Whether ``step`` has crossed a multiple of ``every`` that has no value of this process."""
        return step // self.every * self.every > self._newest

    def report(self, value: float, step: int) -> None:
        """Tell the study, and raise TrialPruned when its pruner says so. Raises FloatingPointError at nan.

        No training ends because the storage is away: what it missed is told with the next value.
        """
        value = float(value)
        if not math.isfinite(value):
            raise FloatingPointError(f"The value reported after {step:,} steps is {value}.")
        self.last = value
        multiple = step // self.every * self.every
        if multiple <= self._newest:
            return
        self._newest = multiple
        if multiple in self._told:  # an earlier process told it, and was not pruned by it
            return
        self._told[multiple] = self._waiting[multiple] = value
        try:
            for step in list(self._waiting):
                self._trial.report(self._waiting[step], step)
                del self._waiting[step]
            is_pruned = self._trial.should_prune()
        except Exception as error:
            if not is_outage(error):
                raise
            logger.warning("The study's storage is away; the value of %s steps is told with the next one.", multiple)
            return
        if is_pruned:
            raise TrialPruned(f"Pruned at {multiple:,} steps: {value:g} is not worth going on.")


def report_to(run: Run, trial: optuna.Trial, every: int = 1) -> TrialReporter:
    """Let ``run.report`` report to a trial of one's own Optuna study::

    def objective(trial):
        with touchline.start_run("train", group="my-study") as run:
            touchline.tuning.report_to(run, trial, every=10_000)
            for step in ...:
                run.report(value, step)  # a pruned trial leaves here, its run ends as pruned
    """
    run.reporter = reporter = TrialReporter(trial, every)
    run.log_params(trial.params)
    return reporter


@contextlib.contextmanager
def heartbeat(study: Study, trial_id: int) -> Iterator[None]:
    """Give signs of life of a trial while the context lasts, in a thread; a storage that is away is tried again."""
    left = threading.Event()

    def beat() -> None:
        while True:
            try:
                study.beat(trial_id)
            except Exception as error:
                logger.warning("The study's storage took no sign of life: %s", " ".join(str(error).split())[:200])
            if left.wait(HEARTBEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, name="touchline-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join(5.0)
