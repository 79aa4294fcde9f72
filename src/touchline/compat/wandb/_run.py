"""The run that ``wandb.init`` returns: W&B's calls, recorded by a Touchline run."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from touchline.compat.endings import end
from touchline.compat.steps import FreeSteps
from touchline.compat.told import tell
from touchline.compat.wandb import _refused
from touchline.compat.wandb._alerts import level_of, seconds_of
from touchline.compat.wandb._artifact import Artifact
from touchline.compat.wandb._config import Config, Summary
from touchline.compat.wandb._metrics import Definitions, Metric
from touchline.compat.wandb._row import Row, sort
from touchline.compat.wandb._saved import SavedFiles
from touchline.errors import TouchlineError, UsageError
from touchline.tracking import run as tracking
from touchline.tracking.delivery import read_cursor
from touchline.tracking.events import leaves
from touchline.tracking.values import snapshot

logger = logging.getLogger("touchline")


class Run:
    """A run; every method returns at once and may be called from any thread. Made by ``wandb.init``."""

    def __init__(
        self, run: tracking.Run, *, name: str, group: str, notes: str, first_step: int, earlier: bool, disabled: bool
    ) -> None:
        """``first_step``: the step of the first call without one; ``earlier``: the run goes on."""
        self.touchline = run
        """The Touchline run beneath, for what W&B's interface has no call for."""
        self.id = run.id
        self.group = group
        self.notes = notes
        self.job_type = run.job
        self.resumed = earlier
        self.disabled = disabled
        self.starting_step = first_step
        self.start_time = time.time()
        self.settings = run.settings
        self.sweep_id = self.sweep_url = None
        self._name = name
        self._tags: tuple[str, ...] = ()
        self._step = first_step
        self._held: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._alerted: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._preempting = False
        self._ended = False
        self._owner = os.getpid()
        self._saved = SavedFiles(run)
        self._definitions = Definitions(FreeSteps(run.directory if earlier else None), run.define_metric)
        self.config = Config(run.log_params)
        self.summary = Summary(lambda values: run.set_summary(dict(leaves(values))))
        atexit.register(self._leave)

    @property
    def name(self) -> str:
        """The run's name. A new one reaches MLflow only."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = str(name)
        tell("rename", "wandb.run.name: a name given after init reaches MLflow only. Give it to wandb.init(name=…).")
        self.touchline.set_tags({"mlflow.runName": self._name})

    @property
    def project(self) -> str:
        """W&B's project and MLflow's experiment."""
        return self.touchline.settings.project

    @property
    def entity(self) -> str:
        """W&B's user or team; empty when it is the key's own."""
        return self.touchline.settings.wandb_entity or ""

    @property
    def path(self) -> str:
        """``entity/project/id``."""
        return "/".join(filter(None, (self.entity, self.project, self.id)))

    @property
    def url(self) -> str | None:
        """The run's page once the courier has opened it, else None."""
        return read_cursor(self.touchline.directory, "wandb").url or None

    @property
    def dir(self) -> str:
        """A directory whose files are recorded when the run ends."""
        return str(self._saved.directory)

    @property
    def step(self) -> int:
        """The step of the next call without one."""
        return self._step

    @property
    def offline(self) -> bool:
        """True when W&B is not told while the run goes on."""
        return self.touchline.settings.wandb_mode == "offline"

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags; they can be added to."""
        return self._tags

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        new = [str(tag) for tag in tags if str(tag) not in self._tags]
        self._tags = tuple(dict.fromkeys(map(str, tags)))
        if new:
            self.touchline.set_tags(dict.fromkeys(new, ""))

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Record values at ``step``, or at the run's own, which every call without ``step`` moves on by one.

        With ``commit=False`` the values wait for the call that completes the row. A step below the last one is
        kept, where W&B drops it. A value is recorded at once, so the first of two under one name and step stays.
        Raises UsageError when ``data`` is no mapping of names.
        """
        row = sort(data)
        with self._lock:
            at = self._step if step is None else int(step)
            if at > self._step:
                self._release()
                self._step = at
            elif at < self._step:
                tell("lower", f"wandb.log: step {at} is below {self._step}. W&B would drop it; here it is kept.")
            if commit is False and at == self._step:
                self._hold(row)
                return
            if self._held and at == self._step:
                row.numbers = {**self._held, **row.numbers}
                self._held = {}
            self._record(row, at, step is not None)
            if commit or (commit is None and step is None):
                self._step += 1

    def define_metric(
        self,
        name: str,
        step_metric: str | Metric | None = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        goal: str | None = None,
        overwrite: bool | None = None,
        **ignored: Any,
    ) -> Metric:
        """Say whose value is the metric's step, and (``summary="max"`` or ``"min"``) which way it is better."""
        with self._lock:
            return self._definitions.define(name, step_metric, summary, goal)

    def alert(self, title: str, text: str = "", level: Any = None, wait_duration: Any = None) -> None:
        """Tell people; one title at most every ``wait_duration`` seconds (60 by default)."""
        now, wait = time.monotonic(), seconds_of(wait_duration)
        last = self._alerted.get(title)
        if last is None or now - last >= wait:
            self._alerted[title] = now
            self.touchline.alert(title, text, level_of(level))

    def log_artifact(
        self,
        artifact_or_path: Artifact | str | Path,
        name: str | None = None,
        type: str | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
    ) -> Artifact:
        """Keep an artifact, a file or a directory, and deliver it. Raises TouchlineError when it cannot be kept."""
        artifact = artifact_or_path
        if not isinstance(artifact, Artifact):
            path = Path(artifact)
            artifact = Artifact(name or path.name, type or "file")
            if path.is_dir():
                artifact.add_dir(path)
            else:
                artifact.add_file(path)
        artifact.record(self.touchline, aliases)
        return artifact

    def log_model(self, path: str | Path, name: str | None = None, aliases: Sequence[str] | None = None) -> None:
        """Keep a model's file or directory as an artifact."""
        self.log_artifact(path, name, "model", aliases)

    def save(
        self,
        glob_str: str | Path | None = None,
        base_path: str | Path | None = None,
        policy: str = "live",
        **ignored: Any,
    ) -> list[str]:
        """Keep the files that match, and with ``policy="live"`` or ``"end"`` as they are at the end; returns them."""
        return [] if glob_str is None else self._saved.add(str(glob_str), base_path, policy)

    def mark_preempting(self) -> None:
        """Say that the machine is being taken away: the run then ends as preempted, unless it finishes well."""
        self._preempting = True

    def watch(self, *models: Any, **options: Any) -> list[Any]:
        """Not supported; told once."""
        _refused.told("watch")
        return []

    def unwatch(self, *models: Any) -> None:
        """Nothing is watched."""

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run and wait a bounded time for its delivery; the couriers go on with what is left.

        Without ``exit_code`` an exception that is being handled says how the run ended. Raises TouchlineError when
        the journal could not take everything.
        """
        if self._ended:
            return
        self._leave()
        self._ended = True
        atexit.unregister(self._leave)
        if exit_code == 0:
            self.touchline.finish("finished")
        elif self._preempting and (exit_code or sys.exc_info()[1] is not None):
            self.touchline.finish("preempted")
        elif exit_code is None:
            end(self.touchline, sys.exc_info()[1])
        else:
            self.touchline.finish("failed", reason=f"The script said wandb.finish(exit_code={exit_code}).")

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ended:
            self._leave()
            self._ended = True
            atexit.unregister(self._leave)
            self.touchline.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _refused.attribute("wandb.run", name, [known for known in dir(self) if not known.startswith("_")])

    def _hold(self, row: Row) -> None:
        self._held.update(snapshot(row.numbers))
        row.numbers = {}
        self._record(row, self._step, True)

    def _release(self) -> None:
        held, self._held = self._held, {}
        if held:
            self._record(Row(numbers=held), self._step, False)

    def _record(self, row: Row, step: int, explicit: bool) -> None:
        if row.numbers:
            for at, numbers in self._definitions.steps(row.numbers, step, explicit).items():
                self.touchline.log(numbers, at)
            self.summary.follow(row.numbers)
        texts = {name: text for name, text in row.texts.items() if self._texts.get(name) != text}
        if texts:
            self._texts.update(texts)
            self.summary.update(texts)
        for name, media in row.media:
            try:
                if isinstance(media, Artifact):
                    self.log_artifact(media)
                else:
                    media.record(self.touchline, name, step)
            except TouchlineError as error:
                tell(f"not kept {name}", f"wandb.log: {name!r} at step {step} is not kept. {error}")

    def _leave(self) -> None:
        """Record what waits for the end: the open row, and the files of the run's directory."""
        if self._ended or os.getpid() != self._owner:
            return
        try:
            with self._lock:
                self._release()
            self._saved.close()
        except (TouchlineError, OSError) as error:
            logger.warning("%s", error)


def needs_run(call: str) -> UsageError:
    """Build the error for a call that comes before ``wandb.init``."""
    return UsageError(f"{call} needs a run. Call wandb.init() first.")
