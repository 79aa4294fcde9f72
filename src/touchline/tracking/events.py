"""What a run can record: each method here puts one kind of event into the journal and returns at once."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import operator
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from touchline.config import Settings, plain
from touchline.errors import UsageError
from touchline.redaction import redact_file_name, redact_text
from touchline.tracking.decisions import DECISIONS, headline_of_decision, level_of_decision
from touchline.tracking.film import VideoQueue
from touchline.tracking.media import check_path, keep, keep_image
from touchline.tracking.narrate import clean, headline_of
from touchline.tracking.reports import Reporter
from touchline.tracking.values import Loggable, NotOnlyNumbers
from touchline.tracking.writer import JournalWriter

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger("touchline")

LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
"""Levels of an alert, as Python's logging counts them."""
GOALS = ("maximize", "minimize")
OBJECTIVE = "objective"
"""Metric under which the values that a run reports are recorded."""
_STEPS = 2**63
_LONGEST_STEM = 120
"""Characters of a metric's name in the name of a file."""
LONGEST_TABLE = 10_000
"""Rows that a logged table may have; a file suits a longer one better."""


class RunEvents:
    """The recording half of a ``Run``; every method may be called from any thread."""

    def __init__(self, run_id: str, directory: Path, settings: Settings, writer: JournalWriter) -> None:
        self.id = run_id
        self.directory = directory
        self.settings = settings
        self._writer = writer
        self._videos = VideoQueue(directory, writer, settings.video_bytes)
        self.reporter: Reporter | None = None
        """Who takes what ``report`` is given; None outside a study."""
        self._step = 0
        self._is_shown = False
        self._alert_is_called = "Alert"

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record numbers at ``step`` (None: the last one). Never waits for a device or a network.

        A value may be a Python, NumPy, torch or JAX scalar; one that is none of them is left out and told once.
        A ``Video`` among them goes where ``log_video`` brings it. With ``durability="commit"`` the values are on disk
        when this returns, which reads them from their device.
        """
        if step is None:
            step = self._step
        elif type(step) is not int or not -_STEPS <= step < _STEPS:
            step = self._as_step(step)
        self._step = step
        try:
            self._writer.log(metrics, step)
        except NotOnlyNumbers:
            self._log_apart(metrics, step)

    @property
    def step(self) -> int:
        """The step of what was logged last, or the one that the run has gone back to; 0 for a new run."""
        return self._step

    def report_due(self, step: int) -> bool:
        """Whether the study that this run is a trial of wants a value at ``step``; False outside a study.

        For a loop in which a value costs something, such as an evaluation.
        """
        return self.reporter is not None and self.reporter.due(step)

    def report(self, value: float, step: int | None = None) -> None:
        """Record the objective's value at ``step`` (None: the last one) and tell the study, if there is one.

        Raises ``touchline.tuning.TrialPruned`` when the trial is worse than the others: let it pass, and the run ends
        as pruned. Raises FloatingPointError in a study when the value is not finite.
        """
        step = self._at(step)
        self.log({OBJECTIVE: value}, step)
        if self.reporter is not None:
            self.reporter.report(value, step)

    def log_curve(self, name: str, steps: Any, values: Any) -> None:
        """Record a whole piece of a curve at once, as a compiled chunk of training returns it.

        ``steps`` and ``values`` are one-dimensional and of one length: sequences, or NumPy, torch or JAX arrays.
        Each point gets a sequence number of its own. Raises UsageError when the lengths differ.
        """
        if (length := _length(steps)) != (other := _length(values)):
            raise UsageError(f"The curve {name!r} has {length} steps and {other} values. Give one value a step.")
        self._writer.log_curve(name, steps, values)

    def log_params(self, params: Any) -> None:
        """Record parameters (a mapping or a dataclass); nested ones become ``outer.inner``.

        Of two that get one name that way the first stays, and a warning names the other.
        """
        named: dict[str, Any] = {}
        for name, value in leaves(params):
            if named.setdefault(name, value) is not value:
                self._writer.tell(
                    f"parameter {name}",
                    f"Two parameters are called {name!r}: {named[name]!r} stays, {value!r} is left out. Rename one.",
                )
        self._writer.put("params", plain(named))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Record tags, as text; a later value replaces an earlier one."""
        self._writer.put("tags", {str(key): str(value) for key, value in _mapping("Tags", tags).items()})

    def set_summary(self, values: Mapping[str, Any]) -> None:
        """Record results of the whole run, numbers or text; a later value replaces an earlier one."""
        summary = {str(key): plain(_item(value)) for key, value in _mapping("A summary", values).items()}
        self._writer.put("summary", summary)

    def define_metric(self, name: str, goal: Literal["maximize", "minimize"]) -> None:
        """Say which way a metric is better; the run's summary then holds its best value and the best one's step.

        Raises UsageError on another goal.
        """
        if goal not in GOALS:
            raise UsageError(f"A metric's goal is one of {', '.join(GOALS)}, and this is {goal!r}.")
        self._writer.best.goals[name] = goal
        self._writer.put("goal", {name: goal})

    def log_artifact(self, path: Path | str, name: str | None = None, *, unchanging: bool = False) -> None:
        """Keep a copy of a file or directory and deliver it under ``name`` (may hold slashes).

        Files that nobody writes to any more, as those of a checkpoint, need no copy: with ``unchanging`` they are
        linked where the disk allows it, and may be removed all the same.

        Raises TouchlineError when it cannot be copied, and when a symbolic link in the directory leads out of it.
        """
        path = Path(path)
        name = redact_file_name(name or path.name)
        check_path(name)
        kept = self._keep(path, "artifacts", name, unchanging)
        self._writer.put("artifact", {"name": name, "path": kept}, self._step)

    def log_video(
        self,
        video: Any,
        name: str = "video",
        step: int | None = None,
        caption: str | None = None,
        fps: float = 25.0,
    ) -> None:
        """Deliver a video at the step at which it was filmed; frames are encoded off the loop, by a patient process.

        ``video`` is a file (mp4, webm, gif), which is copied; or the frames of an episode, as an array
        (T, H, W, 3) or (T, 3, H, W) in uint8 or floats from 0 to 1, or as a list of frames; or a list of several
        episodes, which are tiled as by ``touchline.tile``; or what that returned; or a ``Video``. An array is copied;
        a list is given away, so leave its frames unchanged. ``fps`` is for frames, a file has its own.

        The loop never waits: with more than 512 MiB of frames on their way, and above ``settings.video_bytes`` of
        files, the video is dropped, which is told once and recorded. So are frames that cannot be encoded. Raises
        TouchlineError when a file cannot be copied.
        """
        step = self._at(step)
        self._videos.log(video, name, step, caption or "", fps, f"{slug(name)[:_LONGEST_STEM]}-{step}")

    def log_image(
        self, image: np.ndarray | Path | str, name: str = "image", step: int | None = None, caption: str | None = None
    ) -> None:
        """Keep an image and deliver it: a file, or an array (H, W), (H, W, 3) or (H, W, 4), of uint8
        or of floats from 0 to 1.

        Raises TouchlineError when it is none of these or cannot be written.
        """
        step = self._at(step)
        kept = self._keep_image(image, f"{slug(name)[:_LONGEST_STEM]}-{step}")
        self._writer.put("image", {"name": name, "path": kept, "caption": caption or ""}, step)

    def log_histogram(self, name: str, values: Any, step: int | None = None, bins: int = 64) -> None:
        """Record how ``values`` (any shape; NumPy, torch, JAX or a sequence) are distributed over ``bins`` bins.

        Non-finite values are counted apart. Counted off the loop, by the journal's thread.
        """
        self._writer.log_histogram(name, values, bins, self._at(step))

    def log_table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int | None = None
    ) -> None:
        """Record a table of numbers and texts. Raises UsageError on a ragged one or above LONGEST_TABLE rows."""
        if not isinstance(rows, Sequence) or not isinstance(columns, Sequence):
            raise UsageError(f"A table is columns and a list of rows, and these are {columns!r} and {rows!r}.")
        if len(rows) > LONGEST_TABLE:
            raise UsageError(
                f"The table {name!r} has {len(rows):,} rows, and a table holds {LONGEST_TABLE:,}. "
                "Log a longer one as a file, with log_artifact()."
            )
        for row in rows:
            if len(row) != len(columns):
                raise UsageError(f"The table {name!r} has {len(columns)} columns, and a row has {len(row)}: {row!r}.")
        cells = [[plain(_item(cell)) for cell in row] for row in rows]
        self._writer.put("table", {"name": name, "columns": list(columns), "rows": cells}, self._at(step))

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
        name = redact_file_name(name)
        self._writer.put(
            "model",
            {
                "name": name,
                "path": self._keep(Path(directory), "models", name),
                "code": self._keep(Path(code), "models", Path(code).name),
                "signature": dict(signature or {}),
                "metadata": dict(metadata or {}),
                "requirements": list(requirements),
            },
            self._step,
        )

    def log_milestone(
        self, directory: Path | str, *, name: str, version: int, aliases: Sequence[str], digest: str
    ) -> None:
        """Record that ``version`` of the registered model ``name`` now carries ``aliases``.

        W&B gets the files of ``directory`` as a model artifact with the same digest and aliases. Raises
        TouchlineError when the directory cannot be copied.
        """
        kept = self._keep(Path(directory), "milestones", slug(name))
        payload = {"name": name, "version": version, "aliases": list(aliases), "digest": digest, "path": kept}
        self._writer.put("milestone", payload, self._step)

    def log_decision(
        self,
        decision: str,
        *,
        model: str,
        alias: str,
        version: int,
        previous: int | None,
        reason: str,
        provisional: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Record, and tell people, that a version was ``promoted``, ``refused`` or ``rolled back``.

        ``previous`` is the version that had the alias before, or has it still; ``details`` is JSON beside that.
        Raises UsageError for another decision.
        """
        if decision not in DECISIONS:
            raise UsageError(f"A decision is one of {', '.join(DECISIONS)}, and this is {decision!r}.")
        payload = {
            "decision": decision,
            "model": model,
            "alias": alias,
            "version": version,
            "previous": previous,
            "reason": reason,
            "provisional": provisional,
            "details": plain(dict(details or {})),
        }
        self._writer.put("decision", payload, self._step)
        if not self._is_shown:
            logger.log(LEVELS[level_of_decision(payload)], "%s", clean(headline_of_decision(payload)))

    def log_input(
        self, model: str, context: str = "model", *, digest: str = "", run: str = "", model_id: str = ""
    ) -> None:
        """Record that this run reads ``model``, a ``models:/…`` URI or an MLflow model id.

        Where they are known, ``digest`` is the sha256 of its files, ``run`` the MLflow run that made it, and
        ``model_id`` MLflow's id of the logged model behind a registered version, by which MLflow itself draws the
        edge.
        """
        details = {"digest": digest, "run": run, "model_id": model_id}
        told = {name: value for name, value in details.items() if value}
        self._writer.put("input", {"model": str(model), "context": context, **told})

    def log_dataset(self, name: str, *, digest: str, source: str, context: str = "training") -> None:
        """Record that this run reads a dataset: its name, a digest of its content and where it comes from."""
        self._writer.put("dataset", {"name": name, "digest": digest, "source": source, "context": context})

    def alert(self, title: str, text: str = "", level: Literal["info", "warn", "error"] = "warn") -> None:
        """Tell people; delivered before anything that is logged later. Raises UsageError on another level.

        It also goes to the logger ``touchline``, of which a terminal shows warnings and errors, unless the console
        sink shows it there.
        """
        if level not in LEVELS:
            raise UsageError(f"An alert's level is one of {', '.join(LEVELS)}, and this is {level!r}.")
        self._writer.put("alert", {"title": title, "text": text, "level": level}, self._step)
        if not self._is_shown:
            logger.log(LEVELS[level], "%s: %s", self._alert_is_called, clean(headline_of(title, text)))

    def _log_apart(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record values that know themselves how, and the others as numbers."""
        numbers = {name: value for name, value in metrics.items() if not isinstance(value, Loggable)}
        if numbers:
            self._writer.log(numbers, step)
        for name, value in metrics.items():
            if isinstance(value, Loggable):
                value.log_to(self, name, step)

    def _keep(self, source: Path, kind: str, name: str, unchanging: bool = False) -> str:
        return keep(self.directory, source, kind, name, unchanging=unchanging)

    def _keep_image(self, image: Any, stem: str) -> str:
        return keep_image(self.directory, image, stem)

    def _at(self, step: int | None) -> int:
        return self._step if step is None else self._as_step(step)

    def _as_step(self, step: Any) -> int:
        try:
            number = operator.index(step) if not isinstance(step, float) else int(step)
            if -_STEPS <= number < _STEPS:
                if number != step:
                    self._writer.tell("part of a step", f"The step {step} is no whole number; {number} is used.")
                return number
        except (TypeError, ValueError, OverflowError):
            pass
        text = reprlib.repr(step)
        self._writer.tell(
            f"step {type(step).__name__}",
            f"The step {text} is not an integer of 64 bits; {self._step} is used instead.",
        )
        return self._step


def slug(text: str) -> str:
    """Turn a text into a file name of ASCII, without secrets; two texts beyond ASCII never become one."""
    text = redact_text(text)
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "run"
    return kept if text.isascii() else f"{kept}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings and dataclasses under names such as ``outer.inner``.

    Raises UsageError on anything but a mapping or a dataclass.
    """
    if _is_record(values):
        values = {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
    if not isinstance(values, Mapping):
        raise UsageError(f"Parameters are a mapping or a dataclass, and this is {values!r}.")
    for key, value in values.items():
        if _is_record(value) or (isinstance(value, Mapping) and value):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _length(values: Any) -> int:
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        raise UsageError(f"A curve has one dimension, and this has shape {tuple(shape)}. Log one curve a call.")
    if shape is None and not isinstance(values, Sized):
        raise UsageError(f"A curve is made of sequences or arrays, and this is {values!r}.")
    return int(shape[0]) if shape is not None else len(values)


def _mapping(what: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise UsageError(f"{what}: give a mapping of names to values, not {values!r}.")
    return values


def _item(value: Any) -> Any:
    """The Python number behind a scalar of NumPy, torch or JAX; everything else as it is."""
    try:
        return value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError, RuntimeError):
        return value
