"""The competition's package: the deployed file as gate 3 played it, and the preprocessor."""

from __future__ import annotations

import shutil
from pathlib import Path

from touchline.jobs.deployment import FILE_NAME, DeployedPolicy
from touchline.soccer import preprocessor


def write_package(policy: DeployedPolicy, directory: Path) -> Path:
    """Write ``model.pt``, byte for byte, and ``preprocessor.py`` into ``directory`` and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / FILE_NAME).write_bytes(policy.file)
    shutil.copyfile(preprocessor.__file__, directory / "preprocessor.py")
    return directory
