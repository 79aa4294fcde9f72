"""``wandb.init`` and the one run that a script has at a time."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from touchline.compat.ranks import is_silent
from touchline.compat.told import refusal, tell
from touchline.compat.wandb import _refused
from touchline.compat.wandb._config import parsed
from touchline.compat.wandb._run import Run
from touchline.compat.wandb._settings import Settings, merged, mode_of
from touchline.config import Settings as Home
from touchline.errors import UsageError
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.ranks import SilentRun
from touchline.tracking.start import start_run

JOB = "train"
_active: list[Run] = []
_folders: list[tempfile.TemporaryDirectory[str]] = []


def active() -> Run | None:
    """The run that module-level calls speak of, or None."""
    return _active[-1] if _active and not _active[-1]._ended else None


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | Path | None = None,
    id: str | None = None,
    name: str | None = None,
    notes: str | None = None,
    tags: Sequence[str] | None = None,
    config: Any = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: str | None = None,
    force: bool | None = None,
    reinit: bool | str | None = None,
    resume: bool | str | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    anonymous: Any = None,
) -> Run:
    """Open a run on both tracks and return at once, whatever the network does.

    ``project`` is W&B's project and MLflow's experiment. ``dir`` has no effect: everything is in TOUCHLINE_HOME.
    A run that is open already is returned, unless ``reinit`` says "finish_previous" (or True) or "create_new".
    Raises UsageError when ``resume`` asks for what is not there, TouchlineError when the journal cannot be written.
    """
    given = merged(
        {
            "entity": entity,
            "project": project,
            "id": id,
            "name": name,
            "notes": notes,
            "tags": tags,
            "group": group,
            "job_type": job_type,
            "mode": mode,
            "reinit": reinit,
            "resume": resume,
            "resume_from": resume_from,
        },
        settings,
    )
    if fork_from is not None:
        refusal(_refused.RAISED["fork_from"])()
    if tensorboard or sync_tensorboard:
        tell(
            "tensorboard",
            "wandb.init(sync_tensorboard=True): what a SummaryWriter writes is not recorded. Log it with wandb.log.",
        )
    if monitor_gym:
        tell("gym", "wandb.init(monitor_gym=True): videos are not picked up. Log them with wandb.Video.")
    current = active()
    if current is not None:
        if given.get("reinit") in (True, "finish_previous"):
            current.finish()
        elif given.get("reinit") != "create_new":
            current.config.update(_chosen(config, config_include_keys, config_exclude_keys), allow_val_change=True)
            return current
    run = _open(given)
    run.config.update(_chosen(config, config_include_keys, config_exclude_keys), allow_val_change=True)
    run.tags = tuple(given.get("tags") or ())
    if given.get("notes"):
        run.touchline.set_tags({"mlflow.note.content": given["notes"]})
        run.touchline.set_summary({"notes": given["notes"]})
    if current is None or current._ended:
        _active[:] = [run]
    return run


def _open(given: Mapping[str, Any]) -> Run:
    mode = mode_of(given.get("mode"))
    home = Home.load(
        project=given.get("project"),
        wandb_entity=given.get("entity"),
        wandb_base_url=given.get("base_url"),
        wandb_mode=mode,
    )
    job, group, notes = given.get("job_type") or JOB, given.get("group") or "", given.get("notes") or ""
    if mode == "disabled":
        folder = tempfile.TemporaryDirectory(prefix="touchline-disabled-", ignore_cleanup_errors=True)
        _folders.append(folder)
        silent = SilentRun(job, dataclasses.replace(home, home=Path(folder.name)), 0)
        silent.id = str(given.get("id") or "disabled")
        name = given.get("name") or silent.id
        return Run(silent, name=name, group=group, notes=notes, first_step=0, earlier=False, disabled=True)
    run_id, back_to = (None, None) if is_silent(home) else _identity(given)
    earlier = _last_step(home, run_id)
    _check_resume(given.get("resume"), run_id, earlier is not None, home.home)
    run = start_run(job, name=given.get("name"), settings=home, run_id=run_id, group=group, resume=back_to)
    first_step = 0 if earlier is None else (earlier if back_to is None else back_to) + 1
    name = given.get("name") or run.id
    return Run(
        run, name=name, group=group, notes=notes, first_step=first_step, earlier=earlier is not None, disabled=False
    )


def _identity(given: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The run's id, and the step it goes back to (``resume_from="id?_step=N"``)."""
    resume_from = given.get("resume_from")
    if not resume_from:
        return given.get("id"), None
    run_id, _, step = str(resume_from).partition("?_step=")
    if not step.isdigit():
        raise UsageError(f'wandb.init(resume_from=…) is like "id?_step=200", and this is {resume_from!r}.')
    return run_id, int(step)


def _last_step(home: Home, run_id: str | None) -> int | None:
    """The last step of a run that is in the home already (-1 when it has none); None when there is no such run."""
    if run_id is None:
        return None
    file = home.run_directory(run_id) / FILE_NAME
    if not file.exists():
        return None
    with JournalReader(file) as journal:
        if journal.newest("start") is None:
            return None
        step = journal.highest_step()
    return -1 if step is None else step


def _check_resume(resume: bool | str | None, run_id: str | None, exists: bool, home: Path) -> None:
    if resume in (True, "auto") and run_id is None:
        tell("resume", "wandb.init(resume=True) needs the run's id here; without one a new run begins. Give id=….")
    if resume == "must" and not exists:
        raise UsageError(f"wandb.init(resume='must'): there is no run {run_id!r} in {home}. Check the id.")
    if resume == "never" and exists:
        raise UsageError(f"wandb.init(resume='never'): the run {run_id!r} is there already. Give another id.")


def _chosen(config: Any, include: Sequence[str] | None, exclude: Sequence[str] | None) -> dict[str, Any]:
    if include and exclude:
        raise UsageError("wandb.init takes config_include_keys or config_exclude_keys, not both.")
    values = parsed(config)
    if include:
        return {name: value for name, value in values.items() if name in include}
    return {name: value for name, value in values.items() if name not in (exclude or ())}
