"""Writing a Databricks bundle: a directory that ``databricks bundle deploy`` takes as it is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from touchline.config import overlay, read_toml
from touchline.deploy.config import NAME, DatabricksConfig
from touchline.deploy.databricks import CONFIG, INIT, LOCK, TASK
from touchline.deploy.lock import requirements
from touchline.errors import UsageError
from touchline.recipes import find_recipe
from touchline.tuning.recipe import without_lineage

YAML, RESOURCES = "databricks.yml", "resources.py"
_FILES = Path(__file__).parent / "files"
_HOST = re.compile(r"https://[\w.\-]+/?")
LOADER = "resources:load_resources"
_YAML = f"""\
# Written by touchline deploy databricks; what runs where, and how, is in resources.py.
bundle:
  name: {NAME}

workspace:
  # Tasks are given it too, as DATABRICKS_HOST.
  host: {{host}}

python:
  resources: ["{LOADER}"]

sync:
  include: ["dist/*.whl"]

targets:
  # Without a mode: "development" would let runs overlap, which take each other's milestones, and pause the schedule.
  main:
    default: true
"""
_RESOURCES = '''\
"""The resources of the bundle, made from touchline's table of jobs. Change the configuration, or what comes of it.

Then, in this directory, offline: touchline deploy databricks . --check
"""

from databricks.bundles.core import Bundle, Resources

from touchline.deploy.config import DatabricksConfig
from touchline.deploy.databricks import resources

CONFIG = DatabricksConfig(
{fields})


def load_resources(bundle: Bundle) -> Resources:
    """Called by the Databricks command line."""
    return resources(CONFIG)
'''


def write_bundle(directory: Path, config: DatabricksConfig, host: str = "", overwrite: bool = False) -> None:
    """Write the bundle of ``config`` for the workspace at ``host`` into ``directory``, which may have other files.

    Without a host ``databricks.yml`` has an empty one, for people to fill in.

    Raises:
        UsageError: there is a bundle already, the directory or the host is none, there is no such recipe, or the file
            of ``config.config`` does not fit.
        TouchlineError: a package that the jobs need is not installed here.
    """
    if (directory / YAML).exists() and not overwrite:
        raise UsageError(f"There is a bundle in {directory} already. Replace its files with --overwrite.")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file, and a bundle is a directory. Name another.")
    if host and not _HOST.fullmatch(host):
        raise UsageError(f"{host!r} is no address of a workspace. Give one like https://1234.5.gcp.databricks.com")
    recipe = find_recipe(config.recipe)()
    files = {YAML: _YAML.format(host=host or '""'), RESOURCES: _resources(config), LOCK: requirements()}
    files |= {name: (_FILES / name).read_text(encoding="utf-8") for name in (TASK, INIT)}
    if config.config:
        overlay(recipe, without_lineage(read_toml(Path(config.config)))[0], where=config.config)
        files[CONFIG] = Path(config.config).read_text(encoding="utf-8")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The bundle cannot be written ({error}). Name another directory.") from error


def _resources(config: DatabricksConfig) -> str:
    """The text of ``resources.py``: what differs from the defaults, and the cloud in any case."""
    config = dataclasses.replace(config, config=config.config and CONFIG)
    given = [
        f"    {field.name}={value!r},\n"
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) != field.default or field.name == "cloud"
    ]
    return _RESOURCES.format(fields="".join(given))
