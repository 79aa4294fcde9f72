"""What the catalog did, told to the Run that did it, and by it to every track and to people."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.catalog.ledger import Entry
from touchline.catalog.milestones import promoting
from touchline.catalog.models import Catalog
from touchline.catalog.promotion import Attempt, promote, refuse
from touchline.catalog.version import ModelVersion

if TYPE_CHECKING:
    from touchline.tracking.run import Run


def decide(run: Run, catalog: Catalog, attempt: Attempt, evidence: Mapping[str, str]) -> ModelVersion | None:
    """Promote the attempt's candidate where the ``evidence`` says ``passed`` = ``true``, refuse it otherwise.

    ``run`` is told the decision and, where there is one, the new champion with its files. Returns the champion as it
    is then; None where there is none yet. Raises as ``promote`` and ``refuse`` do; then nothing is told.
    """
    if evidence.get("passed") != "true":
        tell_decision(run, catalog, refuse(catalog, attempt, evidence), attempt.candidate)
        return attempt.champion
    promotion = promote(catalog, attempt, evidence)
    tell_decision(run, catalog, promotion.entry, promotion.champion)
    tell_milestone(run, catalog, promotion.champion)
    return promotion.champion


def tell_decision(run: Run, catalog: Catalog, entry: Entry, version: ModelVersion) -> None:
    """Tell ``run`` that it promoted, refused or rolled back to ``version``, as the ledger's ``entry`` says.

    The Run's tags ``decision.*`` show it on every track; the event goes to people, by W&B's alerts and by webhook.
    Raises TouchlineError when the Run's job may not promote.
    """
    _, alias = promoting(run.job, catalog.milestones)
    run.set_tags(
        {
            "decision.kind": entry.kind,
            "decision.model": version.name,
            "decision.version": entry.version,
            "decision.previous": "none" if entry.previous is None else entry.previous,
            "decision.reason": entry.reason,
            "decision.provisional": str(entry.provisional).lower(),
            "decision.ledger": entry.number,
        }
    )
    run.log_decision(
        entry.kind,
        model=version.name,
        alias=alias,
        version=entry.version,
        previous=entry.previous,
        reason=entry.reason,
        provisional=entry.provisional,
        details={
            "attempt": entry.attempt,
            "by": entry.by,
            "digest": version.digest,
            "evidence": entry.evidence,
            "evidence_digest": entry.evidence_digest,
            "ledger": entry.number,
        },
    )


def tell_milestone(run: Run, catalog: Catalog, version: ModelVersion) -> None:
    """Tell every sink of ``run`` which aliases ``version`` carries now; the report draws its lineage from that.

    W&B gets its files too, as the catalog has them and so under the same digest. There as here an alias belongs to
    one version of a model, so it leaves the one that had it before. Raises TouchlineError when the files are not
    those that were registered.
    """
    with tempfile.TemporaryDirectory(prefix="milestone-", dir=run.directory) as directory:
        run.log_milestone(
            catalog.download(version, Path(directory) / "model"),
            name=version.name,
            version=version.version,
            aliases=version.aliases,
            digest=version.digest or "",
        )
