"""Making a version champion: evidence first, the alias last, and refused when the champion has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.catalog import ledger
from touchline.catalog.milestones import promoting
from touchline.catalog.store import changing, telling
from touchline.catalog.version import ModelVersion
from touchline.errors import TouchlineError

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog


class ChampionChanged(TouchlineError):
    """The champion is not the one that the candidate was judged against."""


@dataclass(frozen=True)
class Promotion:
    """What a promotion did."""

    champion: ModelVersion
    """The new champion, as read back."""
    previous: ModelVersion | None
    """The one before; None when there was none."""
    entry: ledger.Entry
    """Its row in the ledger."""


def promote(
    catalog: Catalog,
    candidate: ModelVersion,
    expected_champion: ModelVersion | None,
    evidence: Mapping[str, str],
    job: str = "gate3",
) -> Promotion:
    """Point the job's alias (Champion) at the candidate.

    ``evidence`` becomes tags ``gate3.*`` of the candidate and must hold ``passed`` = ``true``; its ``reason`` goes
    into the ledger. ``expected_champion`` is the version the candidate was judged against. The order is: tags,
    re-read the champion, ledger, alias, read back; so a process that dies in between leaves the old champion.
    Raises ChampionChanged when the champion is another one now, TouchlineError when the evidence does not say
    passed, or when the candidate is of another model or carries no digest.
    """
    model, alias = promoting(job, catalog.milestones)
    name = catalog.full_name(model)
    _check(candidate, name, evidence)
    with changing(catalog.settings):
        previous = _number(expected_champion)
        tags = {**evidence, "previous_champion": "none" if previous is None else str(previous)}
        with telling(catalog.settings, f"tag {candidate}"):
            for key, value in tags.items():
                catalog.client.set_model_version_tag(name, str(candidate.version), f"{job}.{key}", value)
        present = catalog.resolve(name, alias)
        if _number(present) != previous:
            raise ChampionChanged(
                f"{candidate} was judged against {_shown(expected_champion)}, but @{alias} is {_shown(present)} now. "
                "Evaluate it again against the present champion."
            )
        entry = ledger.append(catalog, name, candidate.version, previous, evidence.get("reason", ""))
        catalog.set_alias(name, alias, candidate.version)
        return Promotion(catalog.get(name, candidate.version), present, entry)


def _check(candidate: ModelVersion, name: str, evidence: Mapping[str, str]) -> None:
    if candidate.name != name:
        raise TouchlineError(
            f"{candidate} cannot become champion of {name}. Register it as a version of {name} first."
        )
    if candidate.digest is None:
        raise TouchlineError(
            f"{candidate} carries no digest, so nobody could tell later whether it is intact. "
            "Register it through its job, which adds one."
        )
    if evidence.get("passed") != "true":
        raise TouchlineError(
            f"The evidence for {candidate} does not say that the gate was passed (passed = "
            f"{evidence.get('passed')!r}). Run the gate, and promote with the evidence of its verdict."
        )


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else version.version


def _shown(version: ModelVersion | None) -> str:
    return "no champion" if version is None else f"version {version.version}"
