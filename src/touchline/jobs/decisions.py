"""A decision about the champion, told to the Run that made it: as tags, and as one event for whoever notifies."""

from __future__ import annotations

from dataclasses import asdict

from touchline.catalog import ModelVersion
from touchline.catalog.ledger import Entry
from touchline.tracking.run import Run


def tell_decision(run: Run, entry: Entry, version: ModelVersion) -> None:
    """Tell ``run`` that it promoted, refused or rolled back to ``version``, as the ledger's ``entry`` says.

    The Run's tags ``decision.*`` show it on every track; the event "decision" holds the whole entry, with the full
    name of the model and the version's digest.
    """
    previous = "none" if entry.previous is None else str(entry.previous)
    run.set_tags(
        {
            "decision.kind": entry.kind,
            "decision.model": version.name,
            "decision.version": entry.version,
            "decision.previous": previous,
            "decision.reason": entry.reason,
            "decision.provisional": str(entry.provisional).lower(),
            "decision.ledger": entry.number,
        }
    )
    run.log_decision({**asdict(entry), "model": version.name, "digest": version.digest or ""})
