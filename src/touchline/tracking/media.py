"""Copies of what a run logs as files, so that the caller may delete or overwrite the original at once."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from touchline.errors import TouchlineError


def keep(run_directory: Path, source: Path, kind: str, name: str) -> str:
    """Copy a file or directory below ``media/<kind>/`` and return its path relative to the run's directory.

    Each copy has a directory of its own; its last part is the last part of ``name``. Raises TouchlineError
    when the source is missing or the disk refuses; nothing half-copied stays.
    """
    relative = Path("media") / kind / secrets.token_hex(4) / (Path(name).name or source.name)
    target = run_directory / relative
    try:
        target.parent.mkdir(parents=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        cause = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise TouchlineError(
            f"{source} could not be copied to the run's directory {target.parent} ({cause}). "
            "Check that it exists and that the disk has space."
        ) from error
    return str(relative)
