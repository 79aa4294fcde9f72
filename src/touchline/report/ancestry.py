"""Where the model of a report comes from, who is champion, and what the runs behind the champion were given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchline.catalog import Catalog, Node, lineage
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.report.facts import Facts, read_facts

CHAMPION = "Champion"


@dataclass(frozen=True)
class Ancestry:
    """What the registry knows of the model of a report."""

    model: str
    """Registered name and version, such as ``club.policies version 3``."""
    node: Node
    """The model and all that it comes from."""
    champion: str = ""
    """The version to compare with: the champion, or where the model is that itself, the champion before it."""
    is_champion: bool = False
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By job, the parameters of the run behind that version; those whose journals are in this home, so none of a
    version that was deleted."""


def read_ancestry(runs: Iterable[Facts], settings: Settings) -> Ancestry | None:
    """Ask the registry for the newest model that these runs decided on or registered; None where there is none.

    Raises TouchlineError when the registry does not answer or does not have it.
    """
    known = list(runs)
    decision = next((facts.decision for facts in reversed(known) if facts.decision), None)
    made = decision or next((facts.milestone for facts in reversed(known) if facts.milestone), None)
    if made is None or not settings.has_store:
        return None
    name = str(made["model"] if decision else made["name"])
    catalog = Catalog.of(settings)
    node = lineage(catalog, f"{name}/{made['version']}")
    model = f"{name} version {made['version']}"
    present = catalog.resolve(name, CHAMPION)
    is_champion = present is not None and present.version == int(made["version"])
    other = decision.get("previous") if decision and is_champion else present.version if present else None
    if other is None or int(other) == int(made["version"]):
        return Ancestry(model, node, is_champion=is_champion)
    params: Mapping[str, Mapping[str, Any]] = {}
    with contextlib.suppress(UsageError):
        params = _params(lineage(catalog, f"{name}/{other}"), settings)
    return Ancestry(model, node, f"{name} version {other}", is_champion, params)


def _params(node: Node, settings: Settings) -> dict[str, Mapping[str, Any]]:
    params: dict[str, Mapping[str, Any]] = {}
    for one in node.walk():
        job, _, run_id = one.title.partition(" ")
        if one.kind != "run" or job in params or not run_id:
            continue
        try:
            params[job] = read_facts(settings.run_directory(run_id)).params
        except TouchlineError:  # made on another machine
            continue
    return params
