"""``touchline deploy``: the jobs as a bundle for somebody else's scheduler."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from touchline.commands.options import parse
from touchline.deploy.config import NAME, DatabricksConfig
from touchline.errors import UsageError, unknown

PLACES = ("databricks",)


@dataclass(frozen=True)
class DeployOptions:
    """Write a Databricks bundle of the jobs into a directory, and check it without asking Databricks.

    Example: touchline deploy databricks my-bundle --cloud gcp --host https://1234.5.gcp.databricks.com
    """

    directory: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR", help="Directory of the bundle.")]
    config: Annotated[DatabricksConfig, tyro.conf.arg(name="")] = field(default_factory=DatabricksConfig)
    host: str = ""
    """Address of the workspace, such as https://1234.5.gcp.databricks.com; it can be filled in later."""
    check: bool = False
    """Only check the bundle that is there; exits with 1 where something is wrong."""
    overwrite: bool = False
    """Replace the files of a bundle that is there."""


def deploy(arguments: list[str]) -> int:
    """``touchline deploy PLACE DIR``."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: touchline deploy databricks DIR [options]\n\nThe options: touchline deploy databricks --help")
        return 0 if arguments else 2
    place, rest = arguments[0], arguments[1:]
    if place not in PLACES:
        raise unknown("place to deploy to", place, PLACES)
    options = parse(DeployOptions, rest, f"deploy {place}")
    if options.check and options != DeployOptions(options.directory, check=True):
        raise UsageError("--check reads the bundle's own configuration. Leave out the other options.")
    from touchline.deploy.bundle import write_bundle
    from touchline.deploy.checking import check_bundle

    if not options.check:
        write_bundle(options.directory, options.config, options.host, options.overwrite)
        print(f"The bundle is in {options.directory}. What is left to do, once:")
    problems = check_bundle(options.directory)
    for problem in problems:
        print(f"- {problem}")
    if options.check:
        print("Nothing is wrong that can be seen offline." if not problems else f"{len(problems)} to be mended.")
        return 1 if problems else 0
    if options.config.secrets:
        print(f"- databricks secrets create-scope {options.config.secret_scope}")
    for name in options.config.secrets:
        print(f"- databricks secrets put-secret {options.config.secret_scope} {name}")
    print(f"- cd {shlex.quote(str(options.directory))} && databricks bundle deploy && databricks bundle run {NAME}")
    return 0
