"""Milestones in the MLflow Model Registry: what may be registered, what is champion, where it came from.

``models`` registers, resolves, downloads and loads versions; ``promotion`` moves the Champion alias.
"""

from touchline.catalog.digest import directory_digest
from touchline.catalog.lineage import Node, lineage, render
from touchline.catalog.milestones import MILESTONES, Milestone
from touchline.catalog.models import Catalog, load_model
from touchline.catalog.version import LoggedModel, ModelVersion

__all__ = [
    "MILESTONES",
    "Catalog",
    "LoggedModel",
    "Milestone",
    "ModelVersion",
    "Node",
    "directory_digest",
    "lineage",
    "load_model",
    "render",
]
