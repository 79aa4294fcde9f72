"""The run: what a training loop sees of Touchline."""

from __future__ import annotations

import atexit
import logging
import operator
import os
import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from touchline.config import Settings, plain
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.delivery import Delivery, read_cursor, read_delivery
from touchline.tracking.journal import FILE_NAME, Journal, JournalReader, unwritable
from touchline.tracking.launch import destination, ensure_courier
from touchline.tracking.media import keep
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.sinks import SINKS
from touchline.tracking.writer import JournalWriter

logger = logging.getLogger("touchline")

Status = Literal["finished", "failed", "killed", "preempted"]
STATUSES = ("finished", "failed", "killed", "preempted")
LEVELS = ("info", "warn", "error")
JOURNAL_SECONDS = 2.0
"""The last events get so long to reach the journal even when nobody wants to wait for the sinks."""
_POLL_SECONDS = 0.05
_RESTART_SECONDS = 2.0


def start_run(
    job: str,
    *,
    name: str | None = None,
    config: Any = None,
    tags: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    run_id: str | None = None,
) -> Run:
    """Open a run, start its couriers and return at once, whatever the network does.

    ``config`` (a dataclass or a mapping) becomes the run's parameters. ``run_id`` continues the run of that
    name, or names a new one. Raises TouchlineError when the run's directory cannot be written or when a living
    process already writes this run.
    """
    settings = settings or Settings.load()
    if run_id is None:
        run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{_slug(job)}-{secrets.token_hex(2)}"
    elif run_id != _slug(run_id):
        raise UsageError(f"The run id {run_id!r} is no file name. Use letters, digits, dots, '-' and '_' only.")
    directory = settings.run_directory(run_id).absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(directory / FILE_NAME, error) from error
    resumed = _refuse_a_living_writer(directory)
    run = Run(run_id, job, directory, settings, Journal(directory / FILE_NAME))
    run._begin(name or run_id, resumed)
    if config is not None:
        run.log_params(plain(config))
    if tags:
        run.set_tags(tags)
    run._start_couriers()
    return run


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "run"


def _refuse_a_living_writer(directory: Path) -> bool:
    """Return whether the run existed before; raises TouchlineError when another process writes it now."""
    if not (directory / FILE_NAME).exists():
        return False
    with JournalReader(directory / FILE_NAME) as journal:
        start, end = journal.newest("start"), journal.newest("end")
    if start is None:
        return False
    owner = ProcessIdentity.from_mapping(start.payload["process"])
    if owner.is_alive() and (end is None or end.seq < start.seq):
        raise TouchlineError(
            f"The run {directory.name} is being written by process {owner.pid}. End that one first, "
            "or start this one without its run_id."
        )
    return True


class Run:
    """One run; every method returns at once and may be called from any thread. Made by ``start_run``."""

    def __init__(self, run_id: str, job: str, directory: Path, settings: Settings, journal: Journal) -> None:
        self.id = run_id
        self.job = job
        self.directory = directory
        self.settings = settings
        self._writer = JournalWriter(journal)
        self._step = 0
        self._ended = False
        self._owner = os.getpid()
        self._couriers_seen = 0.0
        atexit.register(self._end_with_process)

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers at ``step`` (None: the last one). Never waits for a device, a disk or a network.

        A value may be a Python, NumPy, torch or JAX scalar; one that is none of them is left out and told once.
        """
        if step is None:
            step = self._step
        elif type(step) is not int:
            step = self._as_step(step)
        self._step = step
        self._writer.log(metrics, step)

    def log_params(self, params: Any) -> None:
        """Record parameters (a mapping or a dataclass); nested ones become ``outer.inner``."""
        self._writer.put("params", _flat(plain(params)))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Record tags, as text; a later value replaces an earlier one."""
        self._writer.put("tags", {str(key): str(value) for key, value in tags.items()})

    def log_artifact(self, path: Path | str, name: str | None = None) -> None:
        """Keep a copy of a file or directory and deliver it under ``name`` (may hold slashes).

        Raises TouchlineError when it cannot be copied.
        """
        path = Path(path)
        name = name or path.name
        self._writer.put(
            "artifact", {"name": name, "path": keep(self.directory, path, "artifacts", name)}, self._step
        )

    def log_video(
        self, path: Path | str, name: str = "video", step: int | None = None, caption: str | None = None
    ) -> None:
        """Keep a copy of a video file (mp4, webm, gif) and deliver it. Raises TouchlineError when it cannot."""
        step = self._step if step is None else step
        path = Path(path)
        kept = keep(self.directory, path, "videos", f"{_slug(name)}-{step}{path.suffix}")
        self._writer.put("video", {"name": name, "path": kept, "caption": caption or ""}, step)

    def log_model(
        self,
        directory: Path | str,
        *,
        name: str = "model",
        code: Path | str,
        signature: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        requirements: Sequence[str] = (),
    ) -> None:
        """Keep a copy of a model and deliver it to MLflow as a pyfunc.

        ``directory`` holds the weights and is the model's artifact ``policy``; ``code`` is the script that ends
        in ``mlflow.models.set_model``; ``signature`` is like ``{"inputs": (-1, 89), "outputs": (-1, 12)}``;
        ``metadata`` becomes tags of the model too. Raises TouchlineError when a file cannot be copied.
        """
        self._writer.put(
            "model",
            {
                "name": name,
                "path": keep(self.directory, Path(directory), "models", name),
                "code": keep(self.directory, Path(code), "models", Path(code).name),
                "signature": dict(signature or {}),
                "metadata": dict(metadata or {}),
                "requirements": list(requirements),
            },
            self._step,
        )

    def log_input(self, model: str, context: str = "model") -> None:
        """Record that this run starts from ``model``, a ``models:/…`` URI or an MLflow model id."""
        self._writer.put("input", {"model": str(model), "context": context})

    def alert(self, title: str, text: str = "", level: Literal["info", "warn", "error"] = "warn") -> None:
        """Tell people; delivered before anything that is logged later. Raises UsageError on another level."""
        if level not in LEVELS:
            raise UsageError(f"An alert's level is one of {', '.join(LEVELS)}, and this is {level!r}.")
        self._writer.put("alert", {"title": title, "text": text, "level": level}, self._step)

    def finish(self, status: Status = "finished", timeout: float = 30.0, reason: str = "") -> Delivery:
        """End the run and wait at most ``timeout`` seconds for the couriers; they go on with what is left.

        With 0 it returns once the journal has everything, which takes milliseconds.

        Returns what each sink has. Raises TouchlineError when events could not be written to the journal.
        """
        if status not in STATUSES:
            raise UsageError(f"A run ends as one of {', '.join(STATUSES)}, and this is {status!r}.")
        deadline, ended = time.monotonic() + timeout, time.time()
        self._end(status, reason, timeout)
        while not (delivery := self.delivery()).settled(ended) and time.monotonic() < deadline:
            self._keep_couriers()
            time.sleep(_POLL_SECONDS)
        for state in delivery.values():
            for _, refusal in state.set_aside:
                logger.warning("%s refused a part of run %s: %s", state.sink, self.id, refusal)
        return delivery

    def delivery(self) -> Delivery:
        """What each sink has of this run, by sink name."""
        return read_delivery(self.directory, self.settings.sinks)

    def wait_delivered(self, sink: str, timeout: float = 60.0) -> bool:
        """Wait until ``sink`` has all that was logged before this call; False when it has not in time."""
        if sink not in self.settings.sinks:
            raise UsageError(f"The run {self.id} has no sink {sink!r}. Its sinks: {', '.join(self.settings.sinks)}.")
        deadline = time.monotonic() + timeout
        if not self._ended and not self._writer.flush(timeout):
            return False
        wanted = self._writer.last_seq
        while read_cursor(self.directory, sink).delivered < wanted:
            if time.monotonic() >= deadline:
                return False
            self._keep_couriers()
            time.sleep(_POLL_SECONDS)
        return True

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the MLflow run once the courier has opened it, else None; see ``wait_delivered``."""
        return read_cursor(self.directory, "mlflow").remote_id or None

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        status, reason = _verdict(error)
        try:
            self.finish(status, reason=reason)
        except TouchlineError as second:
            if error is None:
                raise
            logger.warning("%s", second)

    def _begin(self, name: str, resumed: bool) -> None:
        for sink in self.settings.sinks:
            if sink not in SINKS:
                raise UsageError(f"There is no sink {sink!r}. Known: {', '.join(SINKS)}.")
        payload = {
            "run_id": self.id,
            "job": self.job,
            "name": name,
            "project": self.settings.project,
            "process": ProcessIdentity.current().to_mapping(),
            "sinks": {sink: destination(sink, self.settings) for sink in self.settings.sinks},
            "resumed": resumed,
            "command": sys.argv,
        }
        self._writer.put("start", payload)
        if not self._writer.flush(10.0):
            raise self._writer.error or unwritable(self.directory / FILE_NAME, OSError("no answer within 10 s"))

    def _start_couriers(self) -> None:
        self._couriers_seen = time.monotonic()
        for sink in self.settings.sinks:
            try:
                ensure_courier(self.settings, sink)
            except TouchlineError as error:
                logger.warning("%s", error)

    def _keep_couriers(self) -> None:
        """Start again what died while someone waits for it."""
        if time.monotonic() - self._couriers_seen > _RESTART_SECONDS:
            self._start_couriers()

    def _end(self, status: str, reason: str, timeout: float) -> None:
        if self._ended:
            return
        self._ended = True
        atexit.unregister(self._end_with_process)
        self._writer.put("end", {"status": status, "reason": reason})
        if not self._writer.close(min(max(timeout, JOURNAL_SECONDS), 10.0)) or self._writer.dropped:
            lost = self._writer.uncommitted()
            cause = self._writer.error or "The journal did not take them in time."
            raise TouchlineError(f"{lost} events of run {self.id} are not in its journal. {cause}")

    def _end_with_process(self) -> None:
        """Called when the process ends without ``finish``; an unhandled exception is known by then."""
        if self._ended or os.getpid() != self._owner:
            return
        error = getattr(sys, "last_value", None)
        status, reason = _verdict(error)
        try:
            self._end(status, reason or "The process ended without run.finish().", timeout=5.0)
        except TouchlineError as problem:
            logger.warning("%s", problem)

    def _as_step(self, step: Any) -> int:
        try:
            return operator.index(step) if not isinstance(step, float) else int(step)
        except (TypeError, ValueError, OverflowError):
            self._writer._tell("step", f"The step {step!r} is not an integer; {self._step} is used instead.")
            return self._step


def _verdict(error: BaseException | None) -> tuple[Status, str]:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", ""
    if isinstance(error, KeyboardInterrupt):
        return "killed", "Interrupted from the keyboard."
    return "failed", f"{type(error).__name__}: {error}"


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise UsageError(f"Parameters are a mapping or a dataclass, and this is {values!r}.")
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
