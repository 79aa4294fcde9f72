"""``wandb.Settings`` and the arguments of ``wandb.init``: those with a meaning here, and those told to have none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from touchline.compat.told import tell
from touchline.errors import UsageError

ARGUMENT_OF = {
    "project": "project",
    "entity": "entity",
    "run_id": "id",
    "run_name": "name",
    "run_group": "group",
    "run_job_type": "job_type",
    "run_notes": "notes",
    "run_tags": "tags",
    "mode": "mode",
    "resume": "resume",
    "resume_from": "resume_from",
    "reinit": "reinit",
    "base_url": "base_url",
}
"""Setting → the argument of ``wandb.init`` that it stands for."""
_VARIABLES = {
    "WANDB_NAME": "name",
    "WANDB_RUN_ID": "id",
    "WANDB_RUN_GROUP": "group",
    "WANDB_JOB_TYPE": "job_type",
    "WANDB_NOTES": "notes",
    "WANDB_TAGS": "tags",
    "WANDB_RESUME": "resume",
}
"""Variables beside those that touchline.Settings reads."""
_MODES = {"online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}
_YES = ("1", "true", "yes", "on")


class Settings:
    """Any of W&B's settings; what has no meaning here is told once."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__.update(settings)

    def update(self, settings: Mapping[str, Any]) -> None:
        """Change or add settings."""
        self.__dict__.update(settings)


def merged(arguments: Mapping[str, Any], settings: Settings | Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of ``wandb.init``, completed from ``settings`` and then from WANDB_* variables."""
    given = dict(vars(settings)) if isinstance(settings, Settings) else dict(settings or {})
    result = {name: value for name, value in arguments.items() if value is not None}
    without_effect = []
    for name, value in given.items():
        if name in ARGUMENT_OF:
            result.setdefault(ARGUMENT_OF[name], value)
        else:
            without_effect.append(name)
    if without_effect:
        tell(
            f"settings {sorted(without_effect)}",
            f"wandb.Settings: {', '.join(sorted(without_effect))} has no effect here: a courier outside this process "
            "delivers the run.",
        )
    for variable, name in _VARIABLES.items():
        if os.environ.get(variable):
            result.setdefault(name, os.environ[variable])
    if isinstance(result.get("tags"), str):
        result["tags"] = [tag.strip() for tag in result["tags"].split(",") if tag.strip()]
    return result


def mode_of(mode: str | None) -> str | None:
    """Touchline's name of a W&B mode; None when nothing was said. Raises UsageError on an unknown one."""
    mode = mode or os.environ.get("WANDB_MODE") or None
    if mode == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in _YES:
        return "disabled"
    if mode is None:
        return None
    if mode not in _MODES:
        raise UsageError(f"A mode of W&B is one of online, offline, shared, disabled, and this is {mode!r}.")
    return _MODES[mode]
