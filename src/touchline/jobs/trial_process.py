"""``python -m touchline.jobs.trial_process``: one trial of a study, or a finalist's second evaluation.

Its order comes as one line of JSON on standard input, and the end of that is the end of its supervisor. It records
the outcome in the study by itself, so that a supervisor that was killed loses nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from touchline.config import Settings, overlay
from touchline.jobs.base import JOBS, Interrupted, Job, raise_if_stopped, stop_requested, stopping_with
from touchline.jobs.checkpoints import Resume
from touchline.jobs.history import TRIAL_OF
from touchline.tracking.tags import STUDY_TAG, TRIAL_TAG

if TYPE_CHECKING:
    from touchline.tracking.reports import Reporter

STOPPED = 143
"""Exit code of a trial that was put back."""
STOPPING_SECONDS = 20.0
THREADS_SECONDS = 10.0
"""Threads that a function has left behind get so long to end."""
OTHER_SEED = 1_000_003
"""Added to the seed of a finalist that trains again."""


@dataclass(frozen=True)
class Order:
    """What the supervisor asks for."""

    settings: Mapping[str, Any]
    storage: str
    study: str
    run: str
    """Id of the study's own run, in which its trials' are nested."""
    job: Mapping[str, str]
    config: Mapping[str, Any]
    """The base configuration, over which the trial's values are laid."""
    number: int
    """Of the trial."""
    again: bool = False
    """Evaluate a finished trial on other seeds, instead of training."""


def main() -> int:
    """Do what the order says; the exit code is 0 when the study has the outcome."""
    from touchline.checkpoint.preemption import StopSignal
    from touchline.tracking.launch import settings_from_order

    with StopSignal() as stop, stopping_with(stop):
        order = Order(**json.loads(sys.stdin.readline()))
        watcher = threading.Thread(target=_stop_with_supervisor, args=(stop, order), daemon=True)
        watcher.start()
        settings = settings_from_order(dict(order.settings))
        return _again(order, settings) if order.again else _train(order, settings)


def _stop_with_supervisor(stop: Any, order: Order) -> None:
    """Ask for a stop when the supervisor is gone, and end what has not ended in the time that it would have given."""
    from touchline.tuning.storage import StudyStorage, patiently
    from touchline.tuning.study import find_study
    from touchline.tuning.supervisor import LEAVING_SECONDS

    while sys.stdin.readline():
        pass
    stop.request("preempted", "The supervisor of the study has ended.")
    time.sleep(LEAVING_SECONDS)
    _tell(f"touchline: The training has not ended within {LEAVING_SECONDS:g} s, so it is ended here.")
    try:
        if not order.again:
            study = find_study(StudyStorage(order.storage), order.study)
            patiently(lambda: study.put_back(order.number), _tell, STOPPING_SECONDS)
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _leave(code: int) -> NoReturn:
    """End the process, also where a thread of somebody's function would keep it."""
    deadline = time.monotonic() + THREADS_SECONDS
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(deadline - time.monotonic(), 0.0))
            if thread.is_alive():
                _tell(f"touchline: The thread {thread.name} does not end; the process ends without it.")
                sys.stdout.flush()
                os._exit(code)
    sys.exit(code)


def _train(order: Order, settings: Settings) -> int:
    from touchline.jobs.execute import execute
    from touchline.tuning.failures import of_exception
    from touchline.tuning.reporting import TrialPruned, TrialReporter, heartbeat
    from touchline.tuning.space import configured
    from touchline.tuning.storage import StudyStorage, patiently
    from touchline.tuning.study import find_study

    study = patiently(lambda: find_study(StudyStorage(order.storage), order.study), _tell)
    trial = study.trial(order.number)
    began = time.monotonic()

    def spent(**more: Any) -> dict[str, Any]:
        return {"seconds": trial.user_attrs.get("seconds", 0.0) + time.monotonic() - began, **more}

    with heartbeat(study, trial._trial_id):
        try:
            job = Job(**order.job)
            config = configured(_base(job, order.config), trial.params)
            run_id = _run_of(order, settings, trial, config)
            reporter: Reporter = TrialReporter(trial, study.setup.report_every)
            if job.function not in {known.function for known in JOBS.values()}:
                reporter = StoppedByReport(reporter)
            tags = {STUDY_TAG: order.study, TRIAL_TAG: str(order.number), TRIAL_OF: order.run}
            outcome = execute(job, config, settings, tags, Resume(run_id=run_id, or_begin=True), reporter)
        except TrialPruned as pruned:
            about = spent(reason=str(pruned))
            patiently(lambda: study.prune(order.number, about), _tell)
            return 0
        except Interrupted:
            # Within the time that a supervisor gives; one that cannot be told is taken for killed, and goes on too.
            patiently(lambda: study.put_back(order.number, spent()), _tell, STOPPING_SECONDS)
            return STOPPED
        except Exception as error:
            _tell(f"touchline: {error}")
            # What failed is behind the sentence about the job.
            failure, about = of_exception(error.__cause__ or error), spent()
            patiently(lambda: study.fail(order.number, failure, about), _tell)
            return 1
        value, about = outcome.result.objective, spent(cost=_cost(outcome.result))
        assert value is not None  # execute() saw to it
        patiently(lambda: study.complete(order.number, value, about), _tell)
        return 0


def _again(order: Order, settings: Settings) -> int:
    """Evaluate what the trial's run handed on; a job that has no such evaluation trains once more."""
    from touchline.jobs.execute import execute
    from touchline.tuning.space import configured
    from touchline.tuning.storage import StudyStorage
    from touchline.tuning.study import FINALIST, RUN, find_study

    study = find_study(StudyStorage(order.storage), order.study)
    trial = next(trial for trial in study.trials() if trial.number == order.number)
    job = Job(**order.job)
    config = configured(_base(job, order.config), trial.params)
    run_id = str(trial.user_attrs[RUN])
    value: float | None
    if job.again:
        value = job.load_again()(config, run_id, settings)
    else:
        config = configured(config, {"seed": config.seed + OTHER_SEED})
        tags = {STUDY_TAG: order.study, TRIAL_TAG: f"{order.number} again", TRIAL_OF: order.run}
        outcome = execute(job, config, settings, tags, Resume(run_id=f"{run_id}-again", or_begin=True), LastValue())
        value = outcome.result.objective
    study.optuna.set_user_attr(f"{FINALIST}{order.number}", value)
    return 0


class StoppedByReport:
    """Lets a function of one's own, which may know nothing of stops, end where it reports.

    It does so at the second report after a stop was asked for: one that knows has saved and left by then.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._was_asked = reporter, False

    @property
    def last(self) -> float | None:
        """What was reported last."""
        return self._reporter.last

    def due(self, step: int) -> bool:
        """Whether a value would be taken, or a stop was asked for."""
        return self._reporter.due(step) or stop_requested()

    def report(self, value: float, step: int) -> None:
        """Report, and raise Interrupted where a stop was asked for before the report before."""
        self._reporter.report(value, step)
        if self._was_asked:
            raise_if_stopped(f"after {step:,} steps")
        self._was_asked = stop_requested()


class LastValue:
    """Takes what a run reports and compares it with nothing."""

    def __init__(self) -> None:
        self.last: float | None = None

    def due(self, step: int) -> bool:
        """Only the last value counts, which a job reports of its own accord."""
        return False

    def report(self, value: float, step: int) -> None:
        """Keep it."""
        self.last = float(value)


def _base(job: Job, values: Mapping[str, Any]) -> Any:
    return overlay(job.config_class()(), values, where="order")


def _run_of(order: Order, settings: Settings, trial: Any, config: Any) -> str:
    """Id of the trial's run: the one that it goes on with, where that can be reached from here."""
    from touchline.jobs.checkpoints import store_of
    from touchline.tracking.journal import FILE_NAME
    from touchline.tuning.storage import patiently
    from touchline.tuning.study import RUN

    known = trial.user_attrs.get(RUN)
    if known is not None:
        if (settings.run_directory(known) / FILE_NAME).exists():
            return str(known)
        if settings.checkpoints is not None and store_of(known, config, settings).steps():
            return str(known)
    # Another machine has begun it, and kept its journal and checkpoints: this is another run.
    run_id = f"{order.run}-{order.number:04d}"
    if run_id == known:
        run_id += f"-{secrets.token_hex(2)}"
    patiently(lambda: trial.set_user_attr(RUN, run_id), _tell)
    return run_id


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _cost(result: Any) -> dict[str, float]:
    cost = result.summary.get("cost", {})
    return {name: float(value) for name, value in cost.items()} if isinstance(cost, Mapping) else {}


if __name__ == "__main__":
    _leave(main())
