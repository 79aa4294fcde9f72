"""The supervisor of a study on one machine: a fixed number of slots, in each a process that works on one trial."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from touchline.filesystem import create_private, make_private
from touchline.tracking.process import ProcessIdentity, identity_of
from touchline.tuning import failures
from touchline.tuning.failures import LIMIT, Failure
from touchline.tuning.sampler import SpaceExhausted
from touchline.tuning.storage import AGAIN_SECONDS, GRACE_SECONDS, OUTAGE_SECONDS, is_outage
from touchline.tuning.study import FINISHED, OWNERS, Study, owners_of

LOOK_SECONDS = 1.0
"""How often the storage is asked whether there is work, where none of our own processes ended."""
REAP_SECONDS = 10.0
LEAVING_SECONDS = 90.0
"""Processes that were asked to stop get so long to save a checkpoint."""
_POLL_SECONDS = 0.05


class Stop(Protocol):
    """Who knows that the supervisor should stop."""

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""

    @property
    def reason(self) -> str | None:
        """``interrupted`` or ``preempted``."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is, for at most so many seconds."""


@dataclass(frozen=True)
class Child:
    """How a trial's process is started."""

    command: Sequence[str]
    order: Mapping[str, Any]
    """JSON for its standard input, with the trial's ``number``; it may hold a password, which arguments may not."""
    logs: Path
    """Directory of the log files, one a trial."""
    environment: Mapping[str, str] | None = None

    def log(self, kind: str, number: int) -> Path:
        """Where the process that does ``kind`` for the trial ``number`` writes what it prints."""
        return self.logs / f"{kind}-{number:04d}.log"

    def start(self, kind: str, number: int, **more: Any) -> subprocess.Popen[bytes]:
        """Start a process for the trial ``number``; ``more`` goes into its order."""
        make_private(self.logs)
        with create_private(self.log(kind, number)).open("ab") as log:
            # A session of its own: Ctrl-C at the terminal comes to the supervisor, which passes it on.
            process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=None if self.environment is None else dict(self.environment),
                start_new_session=True,
            )
        assert process.stdin is not None
        # It stays open: the process takes its end for the end of the supervisor.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({**self.order, "number": number, **more}).encode() + b"\n")
            process.stdin.flush()
        return process


@dataclass
class _Slot:
    number: int
    process: subprocess.Popen[bytes]
    began: float


class Supervisor:
    """Keeps ``workers`` processes at work until the study has ``trials`` finished ones."""

    def __init__(
        self,
        study: Study,
        child: Child,
        *,
        trials: int,
        workers: int,
        tell: Callable[[str], None] = print,
        ended: Callable[[FrozenTrial], None] = lambda trial: None,
    ) -> None:
        """``tell`` gets sentences for people, ``ended`` each trial whose process has ended here."""
        self.study, self.child, self.trials, self.workers = study, child, trials, workers
        self._tell, self._ended = tell, ended
        self._slots: list[_Slot] = []
        self._looked = self._reaped = -1e9
        self._is_exhausted = False
        self._orphans: set[int] = set()
        self._away_since: float | None = None
        self._old = {trial.number for trial in study.trials() if trial.state == TrialState.FAIL}

    def run(self, stop: Stop) -> tuple[Failure, ...]:
        """Work until enough trials are finished, the space is exhausted, or a stop is asked for.

        Returns the failures that ended it, when they were of one kind and ``LIMIT`` in a row; else nothing.
        """
        try:
            while not stop.requested:
                try:
                    row = self._turn()
                    self._away_since = None
                except Exception as error:
                    row = None
                    self._bear(error)
                    stop.wait(AGAIN_SECONDS)
                if row is not None:
                    return row
                stop.wait(_POLL_SECONDS)
            return ()
        finally:
            self._leave(signal.SIGINT if stop.reason == "interrupted" else signal.SIGTERM)

    def _turn(self) -> tuple[Failure, ...] | None:
        """Do what is due; returns what ends the work, with nothing in it when all is done."""
        self._reap()
        if self._collect():
            self._looked = -1e9
            if len(row := self._in_a_row()) >= LIMIT:
                return row
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._fill()
            if not self._slots and self._is_done():
                return ()
        return None

    def _bear(self, error: Exception) -> None:
        """Go on while the storage is away, for a while; its trials go on by themselves."""
        now = time.monotonic()
        if not is_outage(error) or (self._away_since is not None and now - self._away_since > OUTAGE_SECONDS):
            raise error
        if self._away_since is None:
            self._away_since = now
            self._tell(f"The storage is away; it is asked again for {OUTAGE_SECONDS / 60:g} minutes. {error}")
        # When it is back, living trials of other machines need a moment to say so.
        self._reaped = now + GRACE_SECONDS

    def _is_done(self) -> bool:
        counts = self.study.counts()
        if sum(counts[state] for state in FINISHED) >= self.trials:
            return True
        return self._is_exhausted and not counts[TrialState.RUNNING] and not counts[TrialState.WAITING]

    def _in_a_row(self) -> tuple[Failure, ...]:
        # Those from before this start were told then; who starts again has mended something.
        return failures.in_a_row(trial for trial in self.study.trials() if trial.number not in self._old)

    def _reap(self) -> None:
        if time.monotonic() - self._reaped < REAP_SECONDS:
            return
        self._reaped = time.monotonic()
        for trial, failure in self.study.reap():
            for owner in owners_of(trial)[1:]:
                _end_session_of_dead(owner)
            self._tell(f"Trial {trial.number} was left by a process that is gone. {failure.reason}")

    def _fill(self) -> None:
        while len(self._slots) + self._left_behind() < self.workers:
            try:
                trial = self.study.ask(self.trials)
            except SpaceExhausted as error:
                if not self._is_exhausted:
                    self._tell(str(error))
                self._is_exhausted = True
                return
            if trial is None:
                return
            self._slots.append(self._start(trial))

    def _left_behind(self) -> int:
        """How many trials still run here whose supervisor is gone: they save and leave, which takes a while."""
        orphans = set(self.study.orphans())
        for number in sorted(orphans - self._orphans):
            self._tell(
                f"Trial {number} still runs, though its supervisor is gone; its place is kept until it has left."
            )
        self._orphans = orphans
        return len(orphans)

    def _start(self, trial: optuna.Trial) -> _Slot:
        process = self.child.start("trial", trial.number)
        if (identity := identity_of(process.pid)) is not None:
            owners = (ProcessIdentity.current(), identity)
            trial.set_user_attr(OWNERS, [owner.to_mapping() for owner in owners])
        values = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
        self._tell(f"Trial {trial.number} begins: {values}")
        return _Slot(trial.number, process, time.monotonic())

    def _collect(self) -> bool:
        """Note which processes have ended; one that told nothing has failed."""
        ended = [slot for slot in self._slots if slot.process.poll() is not None]
        for slot in ended:
            self._conclude(slot)
            self._slots.remove(slot)
        return bool(ended)

    def _conclude(self, slot: _Slot, *, asked: bool = False) -> None:
        code = slot.process.wait()
        if slot.process.stdin is not None:
            with contextlib.suppress(OSError):
                slot.process.stdin.close()
        _end_group(slot.process.pid)
        if asked:  # where it has told nothing itself: it was asked before it could listen, or had no time
            self.study.put_back(slot.number)
        else:
            self.study.fail(slot.number, failures.of_exit(code))
        trial = next(trial for trial in self.study.trials() if trial.number == slot.number)
        seconds = time.monotonic() - slot.began
        self._tell(f"Trial {slot.number} {_end_of(trial)} after {seconds:,.0f} s")
        self._ended(trial)

    def _leave(self, number: signal.Signals) -> None:
        """Ask what still runs to save and leave; end what does not, and a second Ctrl-C does not wait."""
        if running := [slot.number for slot in self._slots if slot.process.poll() is None]:
            who = f"trial {running[0]}" if len(running) == 1 else f"{len(running)} trials"
            again = "; a second Ctrl-C ends it at once" if number == signal.SIGINT else ""
            self._tell(f"Waiting for {who} to save and leave, at most {LEAVING_SECONDS:g} s{again}")
        for slot in self._slots:
            with contextlib.suppress(ProcessLookupError):
                slot.process.send_signal(number)
        deadline = time.monotonic() + LEAVING_SECONDS
        try:
            while any(slot.process.poll() is None for slot in self._slots) and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        finally:
            for slot in self._slots:
                if slot.process.poll() is None:
                    slot.process.kill()
            while self._slots:
                slot = self._slots.pop()
                try:
                    self._conclude(slot, asked=True)
                except Exception as error:  # one that cannot be told is found gone by whoever starts next
                    if not is_outage(error):
                        raise
                    self._tell(f"Trial {slot.number} could not be put back: {error}")


def _end_group(pid: int) -> None:
    """End what a trial's process has left behind in its session, such as environment workers."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _end_session_of_dead(leader: ProcessIdentity) -> None:
    """End what a dead process of this machine has left in the session that it led."""
    # While others live in a session nobody else gets its number: a process that has it now is a stranger.
    if leader.is_local() and identity_of(leader.pid) is None:
        _end_group(leader.pid)


def _end_of(trial: FrozenTrial) -> str:
    if trial.state == TrialState.COMPLETE:
        return f"is complete, with {trial.value:g},"
    if trial.state == TrialState.PRUNED:
        step = f" at {trial.last_step:,}" if trial.last_step is not None else ""
        return f"was pruned{step}"
    if trial.state == TrialState.WAITING:
        return "was put back, with what it has saved,"
    told = trial.user_attrs.get(failures.FAILURE, {"reason": "Nobody told why."})
    again = " and is retried" if told.get("retried") else ""
    return f"failed{again} ({str(told['reason']).splitlines()[0][:200].rstrip('.')})"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
