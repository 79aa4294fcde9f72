"""The checkpoints of one training: saved beside it, proven, kept by a rule, and found again."""

from __future__ import annotations

import contextlib
import logging
import math
import operator
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from touchline.cadence import Cadence
from touchline.checkpoint import snapshot as files
from touchline.checkpoint.finding import Checkpoint, Intact, Newest, intact, known_names, newest_intact
from touchline.checkpoint.manifest import Damaged
from touchline.checkpoint.names import Skipped, order
from touchline.checkpoint.origin import Origin, Refused, differences, origin
from touchline.checkpoint.preemption import StopSignal
from touchline.checkpoint.retention import Goal, Retention
from touchline.checkpoint.saving import Recording, Saver
from touchline.checkpoint.storage import storage_at
from touchline.checkpoint.tree import encode
from touchline.config import digest
from touchline.errors import TouchlineError, UsageError

logger = logging.getLogger("touchline")


class CheckpointStore:
    """Saves and finds the checkpoints of one training; one process saves at a time.

    Three lines give any loop checkpoints::

        store = CheckpointStore("checkpoints", every=200_000)
        state = store.restore_or(state)
        for step in range(store.step, total):
            ...
            store.maybe_save(step + 1, state)

    The step is how many were made, so that a restart repeats none. ``state`` is a tree of arrays, plain values and
    objects that keep their own state: see ``touchline.checkpoint.tree``.
    """

    def __init__(
        self,
        location: Path | str,
        *,
        every: int = 200_000,
        minimum_seconds: float = 10.0,
        keep_last: int = 2,
        keep_every: int | None = None,
        best_metric: str | None = None,
        best_goal: Goal = "max",
        config: Any = None,
        allow_changes: bool = False,
        run: Recording | None = None,
        stop: StopSignal | None = None,
        staging: Path | None = None,
        made_by: Path | None = None,
    ) -> None:
        """Nothing is touched until the first save.

        Args:
            location: a directory, or an address that fsspec knows, such as ``gs://bucket/training``.
            every: steps between two saves of ``maybe_save``, counted as crossed multiples.
            minimum_seconds: saves are not more frequent than this.
            keep_last: newest checkpoints that stay, at least 1.
            keep_every: beside them the first one of each so many steps.
            best_metric: beside them the best one by this metric, of those given to ``maybe_save``.
            best_goal: whether a high or a low value of it is good.
            config: a dataclass or a mapping; a checkpoint of another one is refused.
            allow_changes: load a checkpoint of another configuration or another version of the code all the same.
            run: its history goes with each checkpoint, and it is told of a save that fails.
            stop: when it is set, ``maybe_save`` saves at once and ends the process, see there.
            staging: local directory in which checkpoints for another place are prepared.
            made_by: a file of the code whose git repository tells the version; None: the running script.
        """
        self._storage = storage_at(location, staging)
        self.location = str(location)
        self.retention = Retention(keep_last, keep_every, best_metric, best_goal)
        self.allow_changes = allow_changes
        self._stop = stop
        self._saver = Saver(self._storage, self.location, self.retention, run)
        self.step = 0
        """Step of the checkpoint that was restored, 0 without one."""
        self.pause_seconds = math.nan
        """How long the last save held up the training: the copy to host memory."""
        self._config, self._made_by = config, made_by
        self._origin: Origin | None = None
        self._every, self._minimum_seconds = every, minimum_seconds
        self._due = Cadence(every, minimum_seconds)
        self._memory = files.HostMemory()

    def restore_or(self, state: Any) -> Any:
        """Return the newest state that verifies, or ``state`` itself where there is none; sets ``step``.

        ``state`` gives types, devices and shapes; objects that keep their own state are loaded in place. What was
        skipped, and why, goes to the log. Raises Refused when the checkpoint is of another configuration or version
        of the code, Mismatch when it does not fit ``state``, TouchlineError when all there are are damaged, and
        UsageError at a ``state`` that cannot be saved: now, not at the first save hours later.
        """
        self._made()  # the code that runs is that of now: it may be edited before the first save
        checkpoint = self.latest()
        if checkpoint is not None:
            return self.restore(checkpoint, state)
        encode(state)
        return state

    def restore(self, checkpoint: Checkpoint, state: Any) -> Any:
        """Go on from one checkpoint; see ``restore_or``. What lies after it is replaced by the next save."""
        for skipped in checkpoint.skipped:
            logger.warning("%s", skipped)
        self._refuse_another(checkpoint.path, checkpoint.loaded.origin)
        restored = checkpoint.restore(state)
        self.step = checkpoint.step
        self._due = Cadence(self._every, self._minimum_seconds, start=checkpoint.step)
        self._saver.go_on_from(checkpoint.name)
        return restored

    def maybe_save(
        self,
        step: int,
        state: Any,
        *,
        metrics: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Save when a multiple of ``every`` was crossed, and return whether it did.

        The training waits for the copy to host memory alone; while the one before is still being written, nothing is
        saved and the multiple stays due. A save that fails is told, by the log and the run, and tried again at the
        next one. When the stop signal is set, the state is saved, and once it is durable SystemExit is raised with
        130 or 143, which a scheduler takes as "try again".
        """
        step = _whole(step)
        if self._stop is not None and self._stop.requested:
            self.save(step, state, metrics=metrics, metadata=metadata, wait=False)
            self.wait()
            raise SystemExit(143 if self._stop.reason == "preempted" else 130)
        if not self.due(step):
            return False
        self._begin(step, state, metrics, metadata)
        return True

    def due(self, step: int) -> bool:
        """Whether a multiple of ``every`` was crossed and nothing is being written; marks the multiple as served.

        For who wants to collect the state only when it is saved, with ``save(…, wait=False)``.
        """
        return not self.is_writing and self._due.due(step)

    def save(
        self,
        step: int,
        state: Any,
        *,
        metrics: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> None:
        """Save now. Waits for the save before, and with ``wait`` until this one is durable.

        A checkpoint of the same step is replaced. Raises UsageError at what cannot be saved and, with ``wait``,
        NotSaved when it cannot be written, which otherwise only the log and the run are told; the ones before stay
        as they are.
        """
        self.wait()
        self._begin(step, state, metrics, metadata)
        if wait:
            self.wait()
            self._saver.raise_failure()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being written; returns whether that is so."""
        return self._saver.wait(timeout)

    @property
    def run(self) -> Recording | None:
        """Whose history goes with each checkpoint; may be set once the run has been resumed from ``latest``."""
        return self._saver.run

    @run.setter
    def run(self, run: Recording | None) -> None:
        self._saver.run = run

    @property
    def is_writing(self) -> bool:
        """Whether a save is on its way to the disk."""
        return self._saver.is_writing

    @property
    def saved(self) -> str:
        """Where the last durable save of this process lies; empty before the first."""
        return self._storage.where(self._saver.newest) if self._saver.newest else ""

    @property
    def saved_step(self) -> int:
        """Step of that save; -1 before the first."""
        return order(self._saver.newest)[0]

    @property
    def write_seconds(self) -> float:
        """How long the last save took until it was durable; nan before the first."""
        return self._saver.seconds

    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints that lie here, verified or not, oldest first."""
        return tuple(sorted({order(name)[0] for name in known_names(self._storage, self.location)}))

    def latest(self) -> Checkpoint | None:
        """Load the newest checkpoint that verifies; None when there is none. See ``Checkpoint.skipped``.

        Raises TouchlineError when there are checkpoints but all are damaged, and when a newer one may be whole but
        cannot be read now: starting over, or going back, is for people to decide.
        """
        with newest_intact(self._storage, self.location, files.read) as found:
            return None if found is None else self._checkpoint(found)

    @contextlib.contextmanager
    def newest(self) -> Iterator[Newest | None]:
        """Have the files of the newest checkpoint that verifies on the local disk while the context lasts.

        For ``start_run(resume=…)``, before the state is restored. Raises what ``latest`` raises, and Refused for a
        checkpoint of another configuration or version of the code.
        """
        with newest_intact(self._storage, self.location, files.read_origin) as found:
            if found is None:
                yield None
                return
            if not self.allow_changes:
                self._refuse_another(self._storage.where(found.name), found.content)
            yield Newest(found.manifest.about["step"], found.name, found.manifest.digest, found.directory)

    def load(self, step: int) -> Checkpoint:
        """Load the newest checkpoint of one step; raises TouchlineError when it is missing, Damaged when it is."""
        names = [name for name in known_names(self._storage, self.location) if order(name)[0] == step]
        if not names:
            known = ", ".join(f"{one:,}" for one in self.steps()) or "none"
            raise TouchlineError(f"{self.location} has no checkpoint of step {step:,}. Its steps: {known}.")
        try:
            with intact(self._storage, names[-1], files.read) as found:
                return self._checkpoint(found)
        except Damaged as error:
            told = Skipped(self._storage.where(names[-1]), str(error))
            raise Damaged(f"{told} Load another one, or the newest intact one with latest().") from error

    @contextlib.contextmanager
    def files_of(self, checkpoint: Checkpoint) -> Iterator[Path]:
        """Have a checkpoint's files in a local directory while the context lasts."""
        with self._storage.fetch(checkpoint.name) as directory:
            yield directory

    def _checkpoint(self, found: Intact[files.Loaded]) -> Checkpoint:
        return Checkpoint(found.name, self._storage.where(found.name), found.content, found.manifest, found.skipped)

    def _made(self) -> Origin:
        if self._origin is None:
            self._origin = origin(self._config, self._made_by)
        return self._origin

    def _refuse_another(self, path: str, made: Origin) -> None:
        told = differences(made, self._made())
        if not told:
            return
        what = f"The checkpoint {path} was made otherwise: {'; '.join(told)}."
        if not self.allow_changes:
            raise Refused(
                f"{what} Go on all the same with allow_changes=True (touchline run: --allow-changes), or start over "
                "in an empty directory (--fresh)."
            )
        logger.warning("%s It is used all the same, as allowed.", what)

    def _begin(
        self, step: int, state: Any, metrics: Mapping[str, float] | None, metadata: Mapping[str, Any] | None
    ) -> None:
        step = _whole(step)
        began = time.monotonic()
        snapshot = self._memory.snapshot(step, state, metadata or {}, self._made())
        about = {
            "step": step,
            "saved_at": time.time(),
            "metrics": _numbers(metrics or {}),
            "run": self.run.id if self.run is not None else "",
            "retention": asdict(self.retention),
            "config_digest": "" if self._config is None else digest(self._config),
        }
        self.pause_seconds = time.monotonic() - began
        self._saver.begin(snapshot, about)


def _whole(step: Any) -> int:
    """The step as Python's int. Raises UsageError for what is no whole number from 0 on."""
    try:
        number = operator.index(step)
    except TypeError:
        number = -1
    if number < 0 or isinstance(step, bool):
        raise UsageError(f"A checkpoint's step is a whole number, at least 0, and this is {step!r}. Give int(step).")
    return number


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in metrics.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The metrics of a checkpoint are numbers by name ({error}). Put the rest into metadata."
        ) from error
