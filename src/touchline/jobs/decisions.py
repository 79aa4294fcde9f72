"""A decision about the champion, told to the Run that made it: as tags, and as one event that notifies people."""

from __future__ import annotations

from touchline.catalog import ModelVersion
from touchline.catalog.ledger import Entry
from touchline.catalog.milestones import promoting
from touchline.tracking.run import Run


def tell_decision(run: Run, entry: Entry, version: ModelVersion) -> None:
    """Tell ``run`` that it promoted, refused or rolled back to ``version``, as the ledger's ``entry`` says.

    The Run's tags ``decision.*`` show it on every track; the event goes to people, by W&B's alerts and by webhook.
    """
    _, alias = promoting(run.job)
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
