"""The card of a version, kept up to date by whoever registers or promotes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from touchline.catalog import Catalog, ModelVersion
from touchline.catalog.about import About, about
from touchline.catalog.card import card
from touchline.catalog.version import JOB_TAG
from touchline.config import plain
from touchline.errors import TouchlineError
from touchline.jobs.base import JOBS
from touchline.tracking.events import leaves

logger = logging.getLogger("touchline")


def update_card(catalog: Catalog, version: ModelVersion) -> None:
    """Write the version's card anew, as its description in the registry.

    It only describes: where it cannot be written, a warning says so and what called goes on.
    """
    try:
        told = about(catalog, version)
        catalog.describe(version, card(told, changes(told)))
    except TouchlineError as error:
        logger.warning("The card of %s could not be written. %s", version, error)


def changes(about: About) -> dict[str, str]:
    """Return what the version's Run was configured with, other than the defaults of its job."""
    job = JOBS.get(about.version.tag(JOB_TAG))
    if job is None:
        return {}
    defaults = _flat(job.config_class()())
    return {name: value for name, value in about.params.items() if name in defaults and value != defaults[name]}


def _flat(config: object) -> Mapping[str, str]:
    """A configuration as MLflow's parameters have it."""
    return {name: str(plain(value)) for name, value in leaves(config)}
