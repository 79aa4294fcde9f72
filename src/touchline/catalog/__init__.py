"""Milestones in the MLflow Model Registry: what may be registered, what is champion, where it came from.

``models`` registers, resolves, downloads and loads versions; ``promotion`` moves the Champion alias, and ``ledger``
remembers it; both hold the lock of ``tickets``. ``announcing`` tells a Run what was done. ``lineage`` finds what a
version was made from, ``lineage_text`` and ``lineage_page`` draw it; ``card`` describes a version.
"""

from touchline.catalog.announcing import decide, tell_decision, tell_milestone
from touchline.catalog.digest import directory_digest
from touchline.catalog.lineage import Node, lineage
from touchline.catalog.milestones import MILESTONES, Milestone
from touchline.catalog.models import Catalog, load_model
from touchline.catalog.promotion import (
    Attempt,
    ChampionChanged,
    Promotion,
    attempt_of,
    claim_attempt,
    promote,
    refuse,
    rollback,
)
from touchline.catalog.version import LoggedModel, ModelVersion

__all__ = [
    "MILESTONES",
    "Attempt",
    "Catalog",
    "ChampionChanged",
    "LoggedModel",
    "Milestone",
    "ModelVersion",
    "Node",
    "Promotion",
    "attempt_of",
    "claim_attempt",
    "decide",
    "directory_digest",
    "lineage",
    "load_model",
    "promote",
    "refuse",
    "rollback",
    "tell_decision",
    "tell_milestone",
]
