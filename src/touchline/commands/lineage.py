"""``touchline lineage``: which Runs and models a registered model comes from, as a tree, a page or a flowchart."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from touchline.commands.options import Home, parse, refuse_output
from touchline.config import Settings
from touchline.errors import UsageError
from touchline.filesystem import whole_file

if TYPE_CHECKING:
    from touchline.catalog import Node


@dataclass(frozen=True)
class LineageOptions:
    """Show which Runs, models, checkpoints and studies a registered model comes from.

    Example: touchline lineage ddpg_finetuned@Champion --html lineage.html
    """

    model: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="NAME@ALIAS", help="Or NAME/VERSION.", help_behavior_hint=""),
    ] = ""
    html: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help="Write it as one page that needs no network.")
    ] = None
    overwrite: bool = False
    """Replace the file if there is one."""
    mermaid: bool = False
    """Print it as a flowchart for mermaid."""
    home: Home = None


def lineage(arguments: list[str]) -> int:
    """``touchline lineage NAME@ALIAS``."""
    options = parse(LineageOptions, arguments, "lineage")
    if not options.model:
        raise UsageError("Whose lineage? Try: touchline lineage ddpg_finetuned@Champion")
    if options.html is not None:
        refuse_output(options.html, options.overwrite, "page", "lineage.html", "--html")
    settings = registry_settings(options.home)
    from touchline.catalog import Catalog
    from touchline.catalog import lineage as trace
    from touchline.catalog.lineage_page import page
    from touchline.catalog.lineage_text import mermaid

    node = trace(Catalog.of(settings), options.model)
    if options.mermaid:
        print(mermaid(node))
    elif options.html is None:
        _print(node)
    if options.html is not None:
        with whole_file(options.html) as file:
            file.write(page(node).encode())
        print(
            f"The lineage of {node.title} is in {options.html}.", file=sys.stderr if options.mermaid else sys.stdout
        )
    return 0


def registry_settings(home: Path | None) -> Settings:
    """The settings of a command that reads the registry; raises UsageError where there is none."""
    from touchline.catalog.store import existing_store

    settings = Settings.load(home=home)
    existing_store(settings)
    settings.ensure_home()  # which names a store that is damaged
    return settings


def _print(node: Node) -> None:
    from rich.console import Console
    from rich.text import Text

    from touchline.catalog.lineage_text import tree_lines
    from touchline.tracking.narrate import clean

    styles = {"title": "bold", "fact": "dim", "trouble": "red"}
    console = Console(highlight=False, markup=False, emoji=False)
    bars = not (sys.stdout.encoding or "").lower().startswith("utf")
    for line, told in tree_lines(node, ascii_only=bars):
        console.print(Text(clean(line), style=styles[told]), soft_wrap=True)
