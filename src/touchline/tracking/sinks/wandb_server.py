"""What W&B's server says it has of a run, and what this home has seen there before."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from touchline.config import Settings
from touchline.tracking.probe import graphql, wandb_base_url, wandb_key
from touchline.tracking.sinks.base import RunInfo, SinkUnavailable

ASK_SECONDS = 5.0
STALE_SECONDS = 20.0
"""How long a server may lag behind what it said before, until the run has to wait for another attempt."""
SETTLE_SECONDS = 6.0
"""Rows of a session that was cut off count as arrived or lost when no more came for so long."""
_POLL_SECONDS = 0.5
_TAIL = (
    "query RunResumeStatus($project: String, $entity: String, $name: String!) { model(name: $project, "
    "entityName: $entity) { bucket(name: $name, missingOk: true) { name historyTail logLineCount summaryMetrics } } }"
)


@dataclass(frozen=True)
class Tail:
    """The server's last history row of a run."""

    exists: bool = False
    """False where the server does not know the run."""
    row: int = 0
    """Its step, which is the journal's sequence number; 0 while there is no row."""
    global_step: int | None = None
    lines: int = 0
    """Lines of the console that it has."""
    summary_row: int = 0
    """The step of its summary: newer than ``row`` while the answers about the history lag behind."""


@dataclass(frozen=True)
class Seen:
    """What this home knows of the far side beyond the cursor; kept beside the cursor by the sink."""

    row: int = 0
    """The newest row that the server was seen to have."""
    alerted: int = 0
    """Sequence number of the newest alert that was told."""
    ended: int = 0
    """Newest sequence number when people were told that the run was killed."""
    failed: tuple[int, ...] = ()
    """Events whose files the SDK gave up uploading after a while; they are set aside the next time."""

    @classmethod
    def read(cls, run: RunInfo) -> Seen:
        """Read it; one that is missing or unreadable knows nothing."""
        try:
            values = json.loads(_seen_path(run).read_text(encoding="utf-8"))
            return cls(**{**values, "failed": tuple(values.get("failed", ()))})
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, run: RunInfo, **changes: Any) -> Seen:
        """Write it with ``changes``, as a whole, and return it; raises OSError when the disk refuses."""
        changed = replace(self, **changes)
        if changed != self:
            path = _seen_path(run)
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(changed)), encoding="utf-8")
            partial.replace(path)
        return changed


class WandbServer:
    """Asks the server about one run."""

    def __init__(self, settings: Settings, run: RunInfo) -> None:
        self._base_url = wandb_base_url(settings)
        self._variables = {"project": project_of(run), "entity": settings.wandb_entity, "name": run.id}

    def ask(self) -> Tail:
        """The last history row. Raises OSError or ValueError when there is no proper answer."""
        answer = graphql(self._base_url, wandb_key(self._base_url) or "", _TAIL, self._variables, timeout=ASK_SECONDS)
        try:
            return _tail(answer)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"an unexpected answer: {error!r}") from error

    def settled(self, seen: int, uncertain: bool, handed: bool = False) -> Tail:
        """The last history row, once the answer is not older than what was ``seen`` before.

        ``uncertain``: rows may be on their way, so it must also stay the same for a moment, a longer one where its
        summary is newer; ``handed``: this machine handed some over, so that an answer of nothing may be an old one
        too. Raises SinkUnavailable when the server keeps lagging behind.
        """
        started = changed = time.monotonic()
        newest: Tail | None = None
        while True:
            tail = self._ask_or_wait_outside()
            if newest is None or tail != newest:
                newest, changed = tail, time.monotonic()
            now = time.monotonic()
            if tail.row >= seen or not tail.exists:
                nothing = not handed and (not tail.exists or (tail.row == 0 and not seen))
                quiet = SETTLE_SECONDS if tail.row >= tail.summary_row else STALE_SECONDS
                if nothing or not uncertain or now - changed >= quiet:
                    return tail
            elif now - started >= STALE_SECONDS:
                raise SinkUnavailable(
                    f"W&B shows the run up to row {tail.row} although it had row {seen} before; it is asked again "
                    "later. If rows were removed there, delete the run there, and it is sent anew."
                )
            time.sleep(_POLL_SECONDS)

    def _ask_or_wait_outside(self) -> Tail:
        try:
            return self.ask()
        except (OSError, ValueError) as error:
            raise SinkUnavailable(f"W&B does not tell what it has of the run ({error or 'no answer'}).") from error


def project_of(run: RunInfo) -> str:
    """The run's project as W&B takes one: without what it refuses in a name, as in MLflow's ``/Users/me/walking``."""
    return re.sub(r"[/\\#?%:]+", "-", run.project).strip("-")[:128] or "uncategorized"


def _tail(answer: dict[str, Any]) -> Tail:
    bucket = ((answer.get("data") or {}).get("model") or {}).get("bucket")
    if not bucket:
        return Tail()
    lines = int(bucket.get("logLineCount") or 0)
    summary_row = int((json.loads(bucket.get("summaryMetrics") or "{}") or {}).get("_step") or 0)
    rows = json.loads(bucket.get("historyTail") or "[]")
    if not rows:
        return Tail(exists=True, lines=lines, summary_row=summary_row)
    row = json.loads(rows[-1])
    step = row.get("global_step")
    return Tail(True, int(row["_step"]), None if step is None else int(step), lines, summary_row)


def _seen_path(run: RunInfo) -> Path:
    return run.directory / "delivery" / "wandb-seen"  # not .json: that is a cursor's ending
