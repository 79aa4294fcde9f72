"""Delivery to W&B: online when a key and a connection exist, or to a native offline run where that is asked for.

W&B's own step is the journal's sequence number, so late and out-of-order training steps survive and a replay
under the same id is recognised; charts use the metric ``global_step``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.probe import probe_wandb, wandb_base_url
from touchline.tracking.sinks.base import RunInfo, RunRefused, SinkUnavailable
from touchline.tracking.sinks.wandb_core import await_leftover_core, remember_core
from touchline.tracking.sinks.wandb_events import STATE, WandbEvents
from touchline.tracking.sinks.wandb_offline import WandbOfflineSession
from touchline.tracking.sinks.wandb_server import Seen, Tail, WandbServer, project_of
from touchline.tracking.sinks.wandb_session import READ_BACK_SECONDS, WandbSession

if TYPE_CHECKING:
    import wandb

INIT_SECONDS = 20
FINISH_SECONDS = 30
RETRY_SECONDS = 10
"""Longest pause of the SDK between two attempts at one request; its own default is a minute."""


class WandbSink:
    """Opens W&B runs under the run's own id."""

    name = "wandb"

    def __init__(self, settings: Settings) -> None:
        """wandb itself is imported at the first ``open``, once the server is known to answer."""
        self._settings = settings
        self._is_offline = settings.wandb_mode == "offline"
        self.append_only = not self._is_offline
        self._sessions: dict[str, WandbSession] = {}
        cache = settings.home / "couriers" / "wandb-cache"
        os.environ.setdefault("WANDB_CACHE_DIR", str(cache))
        os.environ.setdefault("WANDB_DATA_DIR", str(cache))
        os.environ["WANDB_SILENT"] = "true"
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

    def check(self) -> None:
        """Probe key and server, where they are needed. Raises SinkUnavailable."""
        if not self._is_offline:
            probe = probe_wandb(self._settings)
            if not probe.usable:
                raise SinkUnavailable(f"W&B: {probe.reason}", permanent=probe.permanent)

    def open(self, run: RunInfo, delivered: int, sent: int) -> WandbSession | WandbOfflineSession:
        """Open the run, or take up the session that an outage interrupted. Raises SinkUnavailable or RunRefused."""
        if self._is_offline:
            return WandbOfflineSession(run, self._init)
        session = self._sessions.get(run.id)
        if session is not None and not session.is_closed:
            session.resume_from = delivered
            return session
        session = self._open_online(run, delivered, sent)
        self._sessions[run.id] = session
        return session

    def _open_online(self, run: RunInfo, delivered: int, sent: int) -> WandbSession:
        await_leftover_core(self._settings)
        server = WandbServer(self._settings, run)
        seen = Seen.read(run)
        # Without a cursor another machine may have sent rows; with rows handed over and not confirmed, this one has.
        handed = sent > delivered
        tail = server.settled(seen.row, uncertain=handed or not sent, handed=handed)
        if not tail.exists:
            seen, delivered, sent = seen.save(run, row=0), 0, 0
        handle = self._init(run)
        # The SDK asked by itself, and counts its lines from what it was told.
        base = max(int(handle.starting_step) - 1, 0)
        if base < max(seen.row, tail.row) or (base and not tail.row):
            handle.finish(exit_code=0)
            raise SinkUnavailable("W&B's answers about the run lag behind each other; it is asked again later.")
        events = WandbEvents(handle, run, base, seen.alerted, tail.lines)
        resume_from = delivered if delivered or sent else base
        self._restate(run, events, resume_from)
        found = Tail(True, base, tail.global_step, tail.lines)
        return WandbSession(handle, server, run, events, found, resume_from)

    def _restate(self, run: RunInfo, events: WandbEvents, until: int) -> None:
        if until:
            with JournalReader(run.directory / FILE_NAME) as journal:
                events.restate(event for event in journal.of_kind([*STATE, "console"]) if event.seq <= until)

    def _init(self, run: RunInfo) -> wandb.Run:
        import wandb

        try:
            handle = wandb.init(
                entity=self._settings.wandb_entity,
                project=project_of(run),
                id=run.id,
                name=run.name,
                group=run.group or None,
                job_type=run.job,
                dir=str(run.directory),
                resume=None if self._is_offline else "allow",
                reinit="create_new",
                settings=wandb.Settings(
                    base_url=wandb_base_url(self._settings),
                    mode="offline" if self._is_offline else "online",
                    init_timeout=INIT_SECONDS,
                    finish_timeout=FINISH_SECONDS,
                    finish_timeout_raises=True,
                    console="off",
                    disable_code=True,
                    disable_git=True,
                    disable_job_creation=True,
                    x_disable_meta=True,
                    x_disable_stats=True,
                    x_save_requirements=False,
                    x_skip_transaction_log=not self._is_offline,
                    x_file_stream_transmit_interval=READ_BACK_SECONDS,
                    x_file_stream_retry_wait_max_seconds=RETRY_SECONDS,
                    x_graphql_retry_wait_max_seconds=RETRY_SECONDS,
                ),
            )
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            if "previously created and deleted" in reason:
                raise RunRefused(f"W&B does not take a run again that was deleted there ({reason}).") from error
            # After one failure the SDK calls the id "in use" for as long as the process lives.
            raise SinkUnavailable(f"W&B did not open the run ({reason}).", fresh_process=True) from error
        remember_core(self._settings)
        handle.define_metric("*", step_metric="global_step")
        return handle
