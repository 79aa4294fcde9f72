"""How a delivery goes on: a table that refreshes on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from touchline.tracking.delivery import SinkState
from touchline.tracking.narrate import clean

if TYPE_CHECKING:
    from rich.live import Live

    from touchline.tracking.sync import SyncReport

_LINE_SECONDS = 2.0
"""A sink that moves gets a line this often."""
_MOST_ROWS = 20


class Progress:
    """Shows the reports of a sync while it lasts."""

    def __init__(self, lines: bool) -> None:
        """``lines``: tell changes where there is no terminal too."""
        from rich.console import Console

        self._console = Console(highlight=False)
        self._lines = lines
        self._live: Live | None = None
        self._told: dict[tuple[str, str], tuple[tuple[int, int, str], float]] = {}
        self.delivered = 0
        """Grows with everything that arrives."""

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=not self._lines)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, report: SyncReport) -> None:
        """Take the newest report."""
        states = [(delivery.run_id, state) for delivery in report.deliveries for state in delivery.values()]
        self.delivered = sum(state.delivered for _, state in states)
        if self._live is not None:
            self._show(self._live, states)
        elif self._lines:
            for run_id, state in states:
                self._tell(run_id, state)

    def stopped(self) -> None:
        """Say that Ctrl-C ended it; the couriers have a session of their own and finish what they began."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        print("Stopped watching; a delivery that is under way goes on by itself.", flush=True)

    def _show(self, live: Live, states: list[tuple[str, SinkState]]) -> None:
        from rich.console import Group
        from rich.text import Text

        from touchline.commands.tables import aligned

        open_ones = [(run_id, state) for run_id, state in states if state.pending or state.state != "done"]
        rows = [
            (run_id, state.sink, state.state, f"{state.delivered:,}", f"{state.pending:,}")
            for run_id, state in open_ones[:_MOST_ROWS]
        ]
        done = len(states) - len(open_ones)
        words = [f"{done:,} of {len(states):,} deliveries are complete."]
        if len(open_ones) > _MOST_ROWS:
            words.append(f"{len(open_ones) - _MOST_ROWS:,} more are not shown.")
        words += list(dict.fromkeys(f"{state.sink}: {state.reason}" for _, state in open_ones if state.reason))
        drawn = aligned(("run", "sink", "delivery", ">up to number", ">waiting"), rows) if rows else []
        live.update(Group(*map(Text, [*drawn, *map(clean, words)])), refresh=True)

    def _tell(self, run_id: str, state: SinkState) -> None:
        now, seen = time.monotonic(), (state.delivered, state.pending, state.state)
        before, moment = self._told.get((run_id, state.sink), ((-1, -1, ""), 0.0))
        settled = state.state in ("done", "waiting", "refused")
        if seen == before or (now - moment < _LINE_SECONDS and not (settled and state.state != before[2])):
            return
        self._told[(run_id, state.sink)] = (seen, now)
        why = f": {state.reason}" if state.reason else ""
        print(
            f"{time.strftime('%H:%M:%S')} {run_id} {state.sink} {state.state}, "
            f"up to number {state.delivered:,}, {state.pending:,} waiting{why}",
            flush=True,
        )
